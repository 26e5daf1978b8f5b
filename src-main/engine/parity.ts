// Parity: runs golden cases and reports the relative error of every tensor, forward, backward and in decoding.
import { type Dirent, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { blocks, operators } from '../blocks';
import type { AnyBlock, AnyOperator, State, Weights } from '../blocks/define';
import { tf, useDevice, withReference } from '../ops';
import { SpecError } from '../spec/error';
import type { DeviceId } from '../spec/run';
import { type PlainTensor, readSafetensors } from './safetensors';

export type Phase = 'forward' | 'backward' | 'decode' | 'extra';

/** One compared tensor, or a case that could not be compared. */
export interface ParityRow {
  block: string;
  case: string;
  /** `unknown`: a block that the lab does not have; `case`: a known one whose case could not be run. */
  phase: Phase | 'unknown' | 'case';
  tensor: string;
  /** max|a−b| / max(1e-6, max|b|); null where nothing was compared. */
  error: number | null;
  tolerance: number | null;
  /** Unknown blocks count as ok: they are named, not failed. */
  ok: boolean;
  /** Why nothing was compared. */
  message?: string;
}

export interface ParityOptions {
  device: DeviceId;
  /** 'fused' (default) takes the device's kernels where it has them, 'reference' the compositions of TF.js ops. */
  path?: 'fused' | 'reference';
}

const header = z.object({
  block: z.string().min(1),
  config: z.record(z.string(), z.unknown()).default({}),
  tolerance: z.object({ forward: z.number(), backward: z.number().optional(), decode: z.number().optional() }),
  gradients_not_stored: z.array(z.string()).default([]),
});
export interface GoldenCase {
  name: string;
  block: string;
  config: Record<string, unknown>;
  tolerance: { forward: number; backward: number; decode: number };
  tensors: Map<string, PlainTensor>;
}

/** Files of golden cases below a folder, sorted: each `.json` with a `.safetensors` of the same stem. */
export function findCases(folder: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  } catch (error) {
    throw new SpecError(`the folder can't be read: ${(error as Error).message}`, folder);
  }
  const files = new Set(entries.filter((e) => e.isFile()).map((e) => join(e.parentPath, e.name)));
  return [...files].filter((f) => f.endsWith('.json') && files.has(f.replace(/json$/, 'safetensors'))).sort();
}

/**
 * Reads the case whose JSON file is named.
 * @throws SpecError for a file that is not one.
 */
export function readCase(file: string): GoldenCase {
  const parsed = header.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (!parsed.success) throw new SpecError(`not a golden case: ${z.prettifyError(parsed.error)}`, file);
  const { block, config, tolerance } = parsed.data;
  const data = file.replace(/json$/, 'safetensors');
  const { tensors } = readSafetensors(readFileSync(data), data);
  for (const name of parsed.data.gradients_not_stored) tensors.delete(`grad/${name}`);
  const { forward, backward = 10 * forward, decode = forward } = tolerance;
  return { name: basename(file, '.json'), block, config, tolerance: { forward, backward, decode }, tensors };
}

/** max|a−b| / max(1e-6, max|b|), the formula of the golden cases; infinite where a is not a number. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  let scale = 1e-6;
  for (let i = 0; i < b.length; i++) {
    const off = Math.abs(a[i] - b[i]);
    if (Number.isNaN(off)) return Number.POSITIVE_INFINITY;
    worst = Math.max(worst, off);
    scale = Math.max(scale, Math.abs(b[i]));
  }
  return worst / scale;
}

/** Tensors of a case whose name starts with `prefix/`, by the rest of the name. */
function take(golden: GoldenCase, prefix: string): Weights {
  const found = [...golden.tensors].filter(([name]) => name.startsWith(`${prefix}/`));
  return Object.fromEntries(
    found.map(([name, { data, shape }]) => {
      const dtype = data instanceof Int32Array ? 'int32' : 'float32';
      const values = dtype === 'int32' ? (data as Int32Array) : Float32Array.from(data);
      return [name.slice(prefix.length + 1), tf.tensor(values, [...shape], dtype)];
    }),
  );
}

/** What a case computes, the same for a block and an operator. */
interface Runner {
  run(inputs: Weights, params: Weights, extra?: (name: string, value: Tensor) => void): Weights;
  decode?(inputs: Weights, params: Weights): { outputs: Weights; state: State };
}

function blockRunner(block: AnyBlock, config: Record<string, unknown>): Runner {
  if (!block.golden) throw new Error(`${block.id} does not say how to read a golden config`);
  const { options, width } = block.golden(config);
  const problems = block.rules?.(options, width, 'config') ?? [];
  if (problems.length) throw new SpecError(problems);
  const { layer } = block;
  return {
    // Inputs besides x are what an earlier block would have handed over; what this one hands on counts as output.
    run({ x, ...given }, params, extra) {
      const shared = { ...given };
      const y = layer.forward(x as Tensor3D, params, { options, extra, shared });
      return { ...added(shared, given), y };
    },
    decode:
      layer.step && block.causal(options)
        ? ({ x, ...given }, params) => {
            const [B, T, D] = x.shape;
            let state = layer.begin?.(B, D, options) ?? {};
            const outputs: Weights[] = [];
            for (let position = 0; position < T; position++) {
              const at = (u: Tensor) => tf.slice(u, [0, position, 0], [B, 1, u.shape[2]!]) as Tensor3D;
              const now = Object.fromEntries(Object.entries(given).map(([name, u]) => [name, at(u)]));
              const shared = { ...now };
              const done = layer.step!(at(x), params, state, { options, position, shared });
              outputs.push({ ...added(shared, now), y: done.y });
              state = done.state;
            }
            const joined = Object.keys(outputs[0]).map((name) => [
              name,
              tf.concat(
                outputs.map((one) => one[name]),
                1,
              ),
            ]);
            return { outputs: Object.fromEntries(joined), state };
          }
        : undefined,
  };
}

/** What was added to or replaced in a record. */
const added = (after: Weights, before: Weights): Weights =>
  Object.fromEntries(Object.entries(after).filter(([name, value]) => value !== before[name]));

function operatorRunner(operator: AnyOperator, config: Record<string, unknown>): Runner {
  const options = operator.golden?.(config).options ?? {};
  return {
    run: (inputs, params, extra) => operator.run({ ...params, ...inputs }, { options, extra }),
    decode: operator.decode && ((inputs, params) => operator.decode!({ ...params, ...inputs }, { options })),
  };
}

/** Calls a function with the wanted path to the kernels: `withReference`, or nothing around it. */
type Within = <T>(compute: () => T) => T;
const fused: Within = (compute) => compute();

/** Compares one case on the current device; `undefined` for a block that the lab does not have. */
export async function runCase(
  golden: GoldenCase,
  path: ParityOptions['path'] = 'fused',
): Promise<ParityRow[] | undefined> {
  const within: Within = path === 'reference' ? withReference : fused;
  const block = blocks.get(golden.block);
  const operator = operators.get(golden.block);
  if (!block && !operator) return undefined;
  const runner = block ? blockRunner(block, golden.config) : operatorRunner(operator!, golden.config);
  const rows: ParityRow[] = [];
  const compare = async (phase: Phase, prefix: string, found: Weights, tolerance: number) => {
    for (const [name, { data, shape }] of golden.tensors) {
      if (!name.startsWith(`${prefix}/`)) continue;
      const value = found[name.slice(prefix.length + 1)];
      const row = { block: golden.block, case: golden.name, phase, tensor: name, tolerance };
      // A cache that holds no token yet is left out of a block's state: nothing is the same as an empty tensor.
      if (!value && data.length === 0) rows.push({ ...row, error: 0, ok: true });
      else if (!value) rows.push({ ...row, error: null, ok: false, message: 'the lab does not compute it' });
      else if (String(value.shape) !== String(shape))
        rows.push({ ...row, error: null, ok: false, message: `shape [${value.shape}] came, [${shape}] was due` });
      else {
        const error = relativeError(await value.data(), data);
        rows.push({ ...row, error, ok: error <= tolerance });
      }
    }
  };

  const inputs = take(golden, 'input');
  const params = take(golden, 'param');
  const cotangents = take(golden, 'cotangent');
  const computed: Weights[] = [inputs, params, cotangents];
  try {
    const extras: Weights = {};
    const keep = (name: string, value: Tensor) => {
      extras[name] = tf.keep(tf.clone(value));
    };
    const outputs = within(() => tf.tidy(() => runner.run(inputs, params, keep)));
    computed.push(outputs, extras);
    await compare('forward', 'output', outputs, golden.tolerance.forward);
    await compare('extra', 'extra', extras, golden.tolerance.forward);

    const gradients = within(() => differentiate(runner, golden, inputs, params, cotangents));
    computed.push(gradients);
    await compare('backward', 'grad', gradients, golden.tolerance.backward);

    if (runner.decode) {
      const stepped = within(() => tf.tidy(() => runner.decode!(inputs, params)));
      computed.push(stepped.outputs, stepped.state);
      await compare('decode', 'output', stepped.outputs, golden.tolerance.decode);
      await compare('decode', 'state', stepped.state, golden.tolerance.decode);
    }
  } finally {
    for (const tensor of new Set(computed.flatMap((one) => Object.values(one)))) tensor.dispose();
  }
  return rows;
}

/** Gradients of Σ output · cotangent with respect to each input and parameter that the case stores one for. */
function differentiate(runner: Runner, golden: GoldenCase, inputs: Weights, params: Weights, cotangents: Weights) {
  const wanted = [...golden.tensors.keys()].filter((name) => name.startsWith('grad/')).map((name) => name.slice(5));
  const known = wanted.filter((name) => inputs[name] ?? params[name]);
  if (known.length === 0) return {};
  const scalar = (...values: Tensor[]) => {
    const given = (from: Weights) =>
      Object.fromEntries(
        Object.entries(from).map(([name, value]) => [name, known.includes(name) ? values[known.indexOf(name)] : value]),
      );
    const outputs = runner.run(given(inputs), given(params));
    const terms = Object.entries(cotangents).map(([name, cotangent]) => tf.sum(tf.mul(outputs[name], cotangent)));
    return terms.reduce((a, b) => tf.add(a, b));
  };
  const gradients = tf.tidy(() => tf.grads(scalar)(known.map((name) => inputs[name] ?? params[name])));
  return Object.fromEntries(known.map((name, i) => [name, gradients[i]]));
}

/**
 * Runs every golden case below a folder on a device.
 * @throws SpecError where the folder can't be read or holds no case.
 */
export async function parity(folder: string, { device, path = 'fused' }: ParityOptions): Promise<ParityRow[]> {
  const files = findCases(folder);
  if (files.length === 0)
    throw new SpecError('no golden case here: a case is a .json and a .safetensors file of one name', folder);
  await useDevice(device);
  const rows: ParityRow[] = [];
  for (const file of files) {
    const about = { block: '?', case: basename(file, '.json'), tensor: '', error: null, tolerance: null };
    try {
      const golden = readCase(file);
      about.block = golden.block;
      const compared = await runCase(golden, path);
      const message = `the lab has no block ${golden.block}`;
      rows.push(...(compared ?? [{ ...about, phase: 'unknown' as const, ok: true, message }]));
    } catch (error) {
      rows.push({ ...about, phase: 'case', ok: false, message: (error as Error).message });
    }
  }
  return rows;
}

/** Whether all known blocks passed, and there was something known to check. */
export const passed = (rows: readonly ParityRow[]): boolean => rows.every((row) => row.ok);

/** The worst error of each tensor over the cases of its block, what failed in each case, and the unknown blocks by name. */
export function formatParity(rows: readonly ParityRow[]): string {
  const compared = rows.filter((row) => row.error !== null);
  const worst = new Map<string, ParityRow>();
  for (const row of compared) {
    const key = [row.block, row.phase, row.tensor].join('\u0000');
    const other = worst.get(key);
    if (!other || row.error! / row.tolerance! > other.error! / other.tolerance!) worst.set(key, row);
  }
  const lines = [['block', 'phase', 'tensor', 'worst error', 'tolerance', 'in case', '']];
  for (const { block, phase, tensor, error, tolerance, case: name, ok } of worst.values())
    lines.push([block, phase, tensor, error!.toExponential(1), tolerance!.toExponential(0), name, ok ? '' : 'FAILS']);
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const table = lines.map((line) =>
    line
      .map((cell, i) => cell.padEnd(widths[i]))
      .join('  ')
      .trimEnd(),
  );

  const broken = rows.filter((row) => !row.ok && row.error === null);
  const unknown = [...new Set(rows.filter((row) => row.phase === 'unknown').map((row) => row.block))];
  const failed = rows.filter((row) => !row.ok);
  const known = new Set(rows.filter((row) => row.phase !== 'unknown').map((row) => row.block));
  const cases = new Set(rows.filter((row) => row.phase !== 'unknown').map((row) => `${row.block}/${row.case}`));
  return [
    ...(compared.length ? [...table, ''] : []),
    ...broken.map((row) => `${row.block}/${row.case} ${row.tensor}: ${row.message}`),
    ...(unknown.length ? [`not known here, not checked: ${unknown.join(', ')}`] : []),
    `${known.size} blocks, ${cases.size} cases, ${compared.length} tensors: ${
      failed.length ? `${failed.length} beyond tolerance or not computed` : 'all within tolerance'
    }`,
  ].join('\n');
}
