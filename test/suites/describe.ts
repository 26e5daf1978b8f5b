// What every block is tested by: golden cases, fused against reference, and checks of its own, on each device that is there.
import { resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it as test } from 'vitest';
import type { AnyBlock, AnyOperator, Weights } from '../../src-main/blocks/define';
import { initialValues } from '../../src-main/engine/build';
import { findCases, formatParity, parity, readCase, relativeError } from '../../src-main/engine/parity';
import { memoryFacts, poisonBuffers, tf, useDevice, withReference } from '../../src-main/ops';
import { complete } from '../../src-main/spec/options';
import { stream } from '../../src-main/spec/random';
import type { DeviceId } from '../../src-main/spec/run';

export const GOLDEN = resolve(import.meta.dirname, '../golden');
/** The kernels as they are compiled (JavaScript where there is no compiler), and compositions on TF.js's own backend. */
export const DEVICES: readonly DeviceId[] = ['cpu', 'reference'];

/** Two float32 paths differ by the order of their sums alone; golden cases are held to the same figures. */
export const FORWARD = 1e-5;
export const BACKWARD = 1e-4;

/** Numbers of a seeded standard normal, scaled. */
export function noise(shape: readonly number[], name: string, scale = 1) {
  const draw = stream(7, name);
  const values = Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () => scale * draw.normal());
  return tf.tensor(values, [...shape]);
}

/** Weights as a block starts with them, moved a little so that no zero or one hides a mistake. */
export function weightsFor(block: AnyBlock, options: Record<string, unknown>, width: number): Weights {
  return Object.fromEntries(
    Object.entries(block.weights(options, width)).map(([name, spec]) => {
      const start = tf.tensor(initialValues(3, name, spec, 1), [...spec.shape]);
      return [name, tf.add(start, noise(spec.shape, name, 0.1))];
    }),
  );
}

export interface Agree {
  /** Lengths to try. */
  T: readonly number[];
  B?: number;
  width: number;
  /** Options of the block, each a case of its own. */
  options?: readonly Record<string, unknown>[];
}
export interface Tools {
  /** Forward, backward and decode against the cases of test/golden. */
  golden(): void;
  /** Output and gradients of the device's kernels against the compositions that they replace. */
  agree(a: 'fused', b: 'reference', sizes: Agree): void;
  it: typeof test;
}

/** Groups the tests of one block or operator; `test.each` and the rest are vitest's. */
export function describeBlock(definition: AnyBlock | AnyOperator, tests: (tools: Tools) => void): void {
  describe(definition.id, () => {
    let before = 0;
    // Memory of outputs is filled with NaN, so that a value left unwritten shows.
    beforeEach(async () => {
      await useDevice('cpu');
      poisonBuffers(true);
      before = memoryFacts().tensors;
    });
    afterEach(async () => {
      expect(memoryFacts().tensors, 'tensors left behind').toBe(before);
      poisonBuffers(false);
    });
    tests({
      golden: () => golden(definition.id),
      agree: (_a, _b, sizes) => agree(definition as AnyBlock, sizes),
      it: test,
    });
  });
}

function golden(id: string): void {
  test.each(DEVICES)('agrees with its golden cases on %s', async (device) => {
    const rows = await parity(resolve(GOLDEN, id), { device });
    expect(
      rows.filter((row) => !row.ok),
      formatParity(rows),
    ).toEqual([]);
    // A phase that a case stores tensors for and nobody computed would pass unseen: state/* is compared in decoding only.
    const stored = new Set(findCases(resolve(GOLDEN, id)).flatMap((file) => [...readCase(file).tensors.keys()]));
    const phases = { 'output/': 'forward', 'grad/': 'backward', 'state/': 'decode', 'extra/': 'extra' };
    const due = Object.entries(phases).filter(([prefix]) => [...stored].some((name) => name.startsWith(prefix)));
    expect([...new Set(rows.map((row) => row.phase))]).toEqual(expect.arrayContaining(due.map(([, phase]) => phase)));
    await useDevice('cpu');
  });
}

function agree(block: AnyBlock, { T: lengths, B = 2, width, options: variants = [{}] }: Agree): void {
  const cases = variants.flatMap((variant) => lengths.map((T) => ({ T, variant, name: JSON.stringify(variant) })));
  test.each(cases)('fused agrees with reference: T $T, $name', ({ T, variant }) => {
    const options = complete(block.options, variant) as Record<string, unknown>;
    expect(block.rules?.(options, width, 'options') ?? []).toEqual([]);
    tf.tidy(() => {
      const weights = weightsFor(block, options, width);
      const names = Object.keys(weights);
      const x = noise([B, T, width], 'x');
      const cotangent = noise([B, T, width], 'cotangent');
      const run = () => {
        const scalar = (...given: tf.Tensor[]) => {
          const own = Object.fromEntries(names.map((name, i) => [name, given[i + 1]]));
          return tf.sum(tf.mul(block.layer.forward(given[0] as tf.Tensor3D, own, { options }), cotangent));
        };
        const y = block.layer.forward(x as tf.Tensor3D, weights, { options });
        return [y, ...tf.grads(scalar)([x, ...names.map((name) => weights[name])])].map((t) => t.dataSync());
      };
      const fused = run();
      const reference = withReference(run);
      expect(relativeError(fused[0], reference[0]), 'y').toBeLessThan(FORWARD);
      // Some gradients are zero but for cancellation (a key's bias without rotation): those are held to the size of the rest,
      // to a millionth of the largest gradient.
      const floor = 0.01 * Math.max(...reference.slice(1).flatMap((gradient) => Array.from(gradient, Math.abs)));
      for (const [i, name] of ['x', ...names].entries()) {
        const due = reference[i + 1];
        const scale = Math.max(floor, ...due.map(Math.abs));
        const off = Math.max(...due.map((value, j) => Math.abs(fused[i + 1][j] - value)));
        expect(off / scale, `gradient of ${name}`).toBeLessThan(BACKWARD);
      }
    });
  });
}
