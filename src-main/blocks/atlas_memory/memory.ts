// The memory over whole sequences, chunk by chunk, and over one token at a time; by a native kernel where there is one.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { atlasMemory, atlasMemoryStep } from '../../../kernels/atlas-memory/kernel';
import { bind, type Inputs as Named, tf } from '../../ops';
import type { State } from '../define';
import { recomputed } from '../parts/recomputed';
import { features } from './features';
import type { MemoryOptions } from './options';
import { firstRows, joinRows, lastRows, type Memory, type Rows, readTokens, type Tokens } from './reference';

/** q, k, v [B, H, T, d]; gates [B, H, T]. */
export interface Inputs {
  q: Tensor;
  k: Tensor;
  v: Tensor;
  alpha: Tensor;
  eta: Tensor;
  theta: Tensor;
  gamma: Tensor;
}
/** Feature coefficients, and the memory at the start of every sequence: [H, F, h] and [H, h, d], or [H, F, d] alone. */
export interface Start {
  poly_coef?: Tensor;
  mem_w1: Tensor;
  mem_w2?: Tensor;
}

/** Tokens whose steps are made again at once in the gradient; between them the memory is kept. */
const SEGMENT = 16;

/** Tokens a segment for chunks of b: whole chunks. */
export const segmentOf = (b: number): number => b * Math.max(1, Math.floor(SEGMENT / b));

/** Heads of all sequences as rows: [B, H, …] to [B·H, …]. */
const asRows = (u: Tensor): Tensor => tf.reshape(u, [u.shape[0] * u.shape[1]!, ...u.shape.slice(2)]);

/** The memory before the first token of R rows, from the matrices [H, r, s] that all sequences share. */
function fresh(start: readonly Tensor[], R: number): Memory {
  const w = start.map((one) => {
    const [H, r, s] = one.shape as [number, number, number];
    return tf.reshape(tf.add(tf.zeros([R / H, H, r, s]), one), [R, r, s]);
  });
  return { w, s: w.map((one) => tf.zerosLike(one)) };
}

function tokensOf(inputs: Inputs, coef: Tensor | undefined, options: MemoryOptions): Tokens {
  const rows = Object.fromEntries(Object.entries(inputs).map(([name, u]) => [name, asRows(u)])) as Record<
    keyof Inputs,
    Tensor
  >;
  return { ...rows, p: features(rows.k, coef, options), pq: features(rows.q, coef, options) };
}

const rowNames = ['p', 'k', 'v', 'gamma'] as const;
const tokenNames = [...rowNames, 'q', 'pq', 'alpha', 'eta', 'theta'] as const;

/** Every tensor of a record [R, T, …] cut along the tokens. TF.js can't differentiate a split into one. */
function cutTokens(tokens: Tokens, size: number): Tokens[] {
  const T = tokens.gamma.shape[1]!;
  const count = Math.ceil(T / size);
  if (count === 1) return [tokens];
  const sizes = Array.from({ length: count }, (_, i) => Math.min(size, T - i * size));
  const cut = Object.entries(tokens).map(([name, u]) => [name, tf.split(u, sizes, 1)] as const);
  return sizes.map((_, i) => Object.fromEntries(cut.map(([name, pieces]) => [name, pieces[i]])) as unknown as Tokens);
}

/** `count` rows that teach nothing: their weights are zero. */
function noRows({ p, k }: Tokens, count: number): Rows {
  const [R, , F] = p.shape as [number, number, number];
  const d = k.shape[2]!;
  return {
    p: tf.zeros([R, count, F]),
    k: tf.zeros([R, count, d]),
    v: tf.zeros([R, count, d]),
    gamma: tf.zeros([R, count]),
  };
}

/** Chunk after chunk; the anchor is the memory at the start of each. */
function readChunks(start: Memory, before: Rows | undefined, tokens: Tokens, options: MemoryOptions) {
  let memory = start;
  let window = before;
  const ys = cutTokens(tokens, options.chunk).map((chunk) => {
    const done = readTokens(memory, memory.w, window, chunk, options);
    memory = done.memory;
    window = window && lastRows(joinRows(window, chunk), window.gamma.shape[1]!);
    return done.y;
  });
  return { y: tf.concat(ys, 1), memory, window };
}

/** The same as one step of the tape: only what goes in is kept for the gradient. */
function readSegment(start: Memory, before: Rows | undefined, tokens: Tokens, options: MemoryOptions) {
  const matrices = start.w.length;
  const flat: Record<string, Tensor> = { ...tokens };
  for (let m = 0; m < matrices; m++) Object.assign(flat, { [`w${m}`]: start.w[m], [`s${m}`]: start.s[m] });
  for (const name of before ? rowNames : []) flat[`before_${name}`] = before![name];
  const memoryIn = (from: Record<string, Tensor>): Memory => ({
    w: start.w.map((_, m) => from[`w${m}`]),
    s: start.s.map((_, m) => from[`s${m}`]),
  });
  const pick = (names: readonly string[], from: Record<string, Tensor>, prefix = '') =>
    Object.fromEntries(names.map((name) => [name, from[prefix + name]])) as unknown;
  const rowsIn = (from: Record<string, Tensor>, prefix: string) => pick(rowNames, from, prefix) as Rows;
  const outputs = recomputed(flat, (given) => {
    const window = before && rowsIn(given, 'before_');
    const done = readChunks(memoryIn(given), window, pick(tokenNames, given) as Tokens, options);
    const named: Record<string, Tensor> = { y: done.y };
    for (let m = 0; m < matrices; m++)
      Object.assign(named, { [`w${m}`]: done.memory.w[m], [`s${m}`]: done.memory.s[m] });
    for (const name of done.window ? rowNames : []) named[`after_${name}`] = done.window![name];
    return named;
  });
  return { y: outputs.y, memory: memoryIn(outputs), window: before && rowsIn(outputs, 'after_') };
}

/** The matrices `<prefix>1` and, of an MLP, `<prefix>2`. */
const pair = (from: Named, prefix: string): Tensor[] =>
  [from[`${prefix}1`], from[`${prefix}2`]].filter((one): one is Tensor => one !== undefined);
const tokensIn = (from: Named) => Object.fromEntries(tokenNames.map((name) => [name, from[name]])) as unknown as Tokens;

/** All tokens of all rows from a fresh memory: what the kernel computes at once. */
function readRows(inputs: Named, options: MemoryOptions): Tensor {
  const tokens = tokensIn(inputs);
  const [R, T] = tokens.alpha.shape as [number, number];
  const behind = Math.min(options.window, T) - 1;
  let memory = fresh(pair(inputs, 'w'), R);
  let window = behind > 0 ? noRows(tokens, behind) : undefined;
  const ys = cutTokens(tokens, segmentOf(options.chunk)).map((segment) => {
    const done = readSegment(memory, window, segment, options);
    memory = done.memory;
    window = done.window;
    return done.y;
  });
  return tf.concat(ys, 1);
}
const readRowsFused = bind(atlasMemory, {
  replaces: (inputs, attrs) => ({ y: readRows(inputs, attrs as unknown as MemoryOptions) }),
});

/** The next token of all rows, where p, k, v and gamma begin with those of the window before it. */
const readNext = bind(atlasMemoryStep, {
  replaces(inputs, attrs) {
    const memory: Memory = { w: pair(inputs, 'w'), s: pair(inputs, 's') };
    const anchor = inputs.anchor1 ? pair(inputs, 'anchor') : memory.w;
    const all = tokensIn(inputs);
    const behind = all.gamma.shape[1]! - 1;
    const tokens = { ...all, ...lastRows(all, 1) };
    const window = behind > 0 ? firstRows(all, behind) : undefined;
    const { y, memory: next } = readTokens(memory, anchor, window, tokens, attrs as unknown as MemoryOptions);
    const outputs: Record<string, Tensor> = { y };
    for (const m of next.w.keys())
      Object.assign(outputs, { [`nextW${m + 1}`]: next.w[m], [`nextS${m + 1}`]: next.s[m] });
    return outputs;
  },
});

const startOf = ({ mem_w1, mem_w2 }: Start) => ({ w1: mem_w1, ...(mem_w2 && { w2: mem_w2 }) });

/** All tokens at once: y [B, H, T, d]. */
export function readAll(inputs: Inputs, start: Start, options: MemoryOptions): Tensor4D {
  const tokens = tokensOf(inputs, start.poly_coef, options);
  const { y } = readRowsFused({ ...tokens, ...startOf(start) }, { ...options });
  return tf.reshape(y, inputs.q.shape as [number, number, number, number]);
}

/** One token, which `begins` a chunk or not: inputs [B, H, 1, ·] and the state so far to y [B, H, 1, d] and the state after it, named as in the spec. */
export function readOne(inputs: Inputs, start: Start, state: State, begins: boolean, options: MemoryOptions) {
  const [B, H, , d] = inputs.q.shape as [number, number, number, number];
  const token = tokensOf(inputs, start.poly_coef, options);
  const names = start.mem_w2 ? ['1', '2'] : ['1'];
  const from = (prefix: string) => names.map((n) => asRows(state[prefix + n]));
  const memory = state.w1 ? { w: from('w'), s: from('s') } : fresh(Object.values(startOf(start)), B * H);
  const anchor = begins ? memory.w : from('anchor');
  let rows: Rows = token;
  if (state.win_k) {
    const k = asRows(state.win_k);
    const window = {
      p: features(k, start.poly_coef, options),
      k,
      v: asRows(state.win_v),
      gamma: asRows(state.win_gamma),
    };
    rows = joinRows(window, token);
  }
  const named: Record<string, Tensor> = { ...token, ...rows };
  for (const [m, n] of names.entries()) {
    Object.assign(named, { [`w${n}`]: memory.w[m], [`s${n}`]: memory.s[m] });
    if (!begins) named[`anchor${n}`] = anchor[m];
  }
  const done = readNext(named, { ...options, position: begins ? 0 : 1 }); // all that counts of the position

  const next: State = {};
  const heads = (u: Tensor) => tf.reshape(u, [B, H, ...u.shape.slice(1)]);
  for (const [m, n] of names.entries()) {
    next[`w${n}`] = heads(done[`nextW${n}`]);
    next[`s${n}`] = heads(done[`nextS${n}`]);
    if (options.chunk > 1) next[`anchor${n}`] = heads(anchor[m]);
  }
  const behind = Math.min(options.window - 1, rows.gamma.shape[1]!);
  if (behind > 0) {
    const { k, v, gamma } = lastRows(rows, behind);
    Object.assign(next, { win_k: heads(k), win_v: heads(v), win_gamma: heads(gamma) });
  }
  return { y: tf.reshape(done.y, [B, H, 1, d]) as Tensor4D, state: next };
}
