// The shaders of Memory Mosaics against the plain loops: segment borders, width one, sums that fade at once or hardly at all.
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { leakyKeys, leakyKeysGrad } from '../../../kernels/memory-mosaic/kernel';
import { attrs, keys, sizes, values } from '../../../kernels/memory-mosaic/testing';
import { agree, openForTests, run, testable } from './testing';

// Shader compilers get slow when other tests share the machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

// As the native kernels are held to: sums over at most 130 tokens in float32, divided by lengths that may be a tenth of their terms.
const tolerance = 1e-5;

describe.runIf(testable)('shaders of Memory Mosaics', () => {
  beforeAll(async () => {
    await openForTests();
  });

  it.each(sizes)('agree in %i rows, %i tokens, %i heads of width %i', async (B, T, H, d) => {
    await agree(keys(B, T, H, d), tolerance);
    await agree(keys(B, T, H, d, 2), tolerance);
    await agree(values(B, T, H, d), tolerance);
  });

  it('carry sums that hardly fade from segment to segment, and forget at once where they fade fast', async () => {
    for (const [T, leak] of [
      [64, 1e-4],
      [65, 1e-4],
      [193, 1e-4],
      [193, 0],
      [130, 50],
    ]) {
      const check = keys(1, T, 2, 3);
      // Sums over up to 193 tokens that hardly decay, in another order than the plain loops: twice their rounding.
      await agree({ ...check, inputs: { ...check.inputs, leak: Float64Array.of(leak, -leak) } }, 2 * tolerance);
    }
  });

  it('give zeros for zeros, a length of at most 65535 without a slope, and none to a leak of 0', async () => {
    const shapes = { u: [1, 2, 3, 2], leak: [3], scale: [3] };
    const u = Float64Array.of(0, 0, 3, 4, 1, 0, 0, 0, 0, 0, 0, 1);
    const given = { u, leak: Float64Array.of(0.1, 0, -0.1), scale: Float64Array.of(0, 2, 0) };
    const { k } = await run(leakyKeys, given, shapes, attrs);
    expect([...k.slice(0, 2)]).toEqual([0, 0]);
    expect(Math.hypot(k[2], k[3])).toBeCloseTo(65535, 0);
    const dk = Float64Array.from({ length: 12 }, (_, i) => i + 1);
    const slopes = await run(leakyKeysGrad, { ...given, dk }, { ...shapes, dk: shapes.u }, attrs);
    for (const slope of Object.values(slopes)) expect(slope.every(Number.isFinite)).toBe(true);
    expect([slopes.dscale[1], slopes.dleak[1]]).toEqual([0, 0]);
    expect(slopes.dleak[2]).not.toBe(0);
  });
});
