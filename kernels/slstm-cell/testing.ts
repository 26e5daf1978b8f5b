// What the tests of both kernels of the scalar memory share: weights that fit, the tolerance, and the bits on any number of threads.
import { expect } from 'vitest';
import { type Arrays, type Kernel, type Shapes, sizeOf } from '../core/kernel';
import { draw, type Native } from '../core/testing';

/** Float32 through up to 130 tokens, whose gates each read the rounded output of the one before. */
export const tolerance = 1e-5;

/** `count` matrices [d, d], of a spread by which what goes through them neither dies out nor explodes over the tokens. */
export const matrices = (count: number, d: number, seed: number, spread = 1): Float64Array =>
  draw(count * d * d, seed).map((u) => Math.fround((spread * u) / Math.sqrt(d)));

/** A check whose rows fill tiles makes tasks for a few threads, and more threads share out the rows of a tile: outputs and slopes stay the same. */
export function expectSameBits(
  native: Native,
  { forward, gradient, shapes, inputs }: { forward: Kernel; gradient: Kernel; shapes: Shapes; inputs: Arrays },
): void {
  const given = { ...inputs };
  for (const [i, [name, shape]] of Object.entries(shapes).entries()) given[name] ??= draw(sizeOf(shape), i + 1);
  const results = [1, 2, 8, 16].map((threads) => {
    native.threads(threads);
    const { y, kept } = native.run(forward, given, shapes, {});
    const feed = { ...given, y, kept, dy: draw(y.length, 50) };
    const wide = { ...shapes, ...forward.outputs(shapes, {}) };
    return { y, kept, ...native.run(gradient, feed, wide, {}) };
  });
  native.threads(1);
  for (const result of results.slice(1)) expect(result).toEqual(results[0]);
}
