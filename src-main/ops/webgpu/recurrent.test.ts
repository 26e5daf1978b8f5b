// The shaders of the recurrent kernels against the plain loops: odd lengths and widths, extreme decays, several heads, segment borders.
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { draw } from '../../../kernels/core/testing';
import * as gla from '../../../kernels/gated-linear-scan/kernel';
import { plain as plainScan } from '../../../kernels/gated-linear-scan/plain';
import * as mlstm from '../../../kernels/mlstm-cell/kernel';
import { plain as plainMlstm } from '../../../kernels/mlstm-cell/plain';
import * as slstm from '../../../kernels/slstm-cell/kernel';
import { plain as plainSlstm } from '../../../kernels/slstm-cell/plain';
import * as wkv4 from '../../../kernels/wkv4/kernel';
import { plain as plainWkv4 } from '../../../kernels/wkv4/plain';
import * as wkv7 from '../../../kernels/wkv7/kernel';
import { plain as plainWkv7 } from '../../../kernels/wkv7/plain';
import { agree, openForTests, run, testable } from './testing';

// Shader compilers get slow when other tests share the machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

/** Float32 through up to 130 tokens, as the native kernels are held to. */
const tolerance = 1e-5;
const scaled = (size: number, seed: number, change: (u: number) => number) =>
  draw(size, seed).map((u) => Math.fround(change(u)));

describe.runIf(testable)('recurrent shaders', () => {
  beforeAll(async () => {
    await openForTests();
  });

  it.each([
    [1, 1, 1, 10],
    [2, 65, 3, 10],
    [3, 130, 65, 10],
    [1, 70, 3, 1e3],
    [0, 3, 2, 10],
  ])('Wkv4 of %i rows, %i tokens, %i channels, keys up to %f', async (b, T, C, spread) => {
    const shapes = { k: [b, T, C], v: [b, T, C], w: [C], u: [C] };
    const inputs = { k: scaled(b * T * C, 3, (u) => spread * u), w: scaled(C, 4, (u) => -2 * (u + 1)) };
    const check = { forward: wkv4.wkv4, gradient: wkv4.wkv4Grad, plain: plainWkv4, shapes, inputs };
    // Exponents of 10³ have a last digit of 6e-5, and one token outweighs all others.
    await agree({ ...check, floor: spread > 100 ? 1 : undefined }, spread > 100 ? 1e-4 : tolerance);
  });

  it('Wkv4 keeps mean, denominator and exponent before each segment', async () => {
    const shapes = { k: [1, 70, 2], v: [1, 70, 2], w: [2], u: [2] };
    const inputs = { k: draw(140, 1), v: draw(140, 2), w: scaled(2, 3, (u) => u - 1), u: draw(2, 4) };
    const { sums } = await run(wkv4.wkv4, inputs, shapes, {});
    const wanted = plainWkv4.Wkv4(inputs, shapes, {}).sums;
    // Those of the second segment: in the first the exponent is -1e38.
    for (let i = 6; i < 12; i++) expect(sums[i]).toBeCloseTo(wanted[i], 5);
  });

  it.each([
    [1, 1, 1, 1, 1],
    [2, 2, 16, 5, 1],
    [1, 1, 33, 7, 1],
    [1, 1, 18, 66, 1],
    [1, 2, 35, 6, 500],
    [1, 2, 35, 6, 0],
    [0, 2, 3, 4, 1],
  ])('Wkv7 of %i rows, %i heads, %i tokens, width %i, decay %f', async (b, H, T, N, decay) => {
    const shape = [b, H, T, N];
    const size = b * H * T * N;
    const shapes = { r: shape, w_log: shape, k: shape, v: shape, a: shape, b: shape };
    const near = (u: number) => u / Math.sqrt(N);
    const inputs = {
      w_log: scaled(size, 4, (u) => (-decay * (1 + u)) / 2),
      a: scaled(size, 5, (u) => -near(u)),
      b: scaled(size, 6, near),
    };
    await agree({ forward: wkv7.wkv7, gradient: wkv7.wkv7Grad, plain: plainWkv7, shapes, inputs }, tolerance);
  });

  it.each([
    [1, 1, 1, 1, 2],
    [2, 9, 2, 5, 2],
    [1, 66, 3, 3, 10],
    [1, 9, 1, 70, 2],
    [1, 33, 2, 3, 150],
    [0, 3, 2, 2, 2],
  ])('SlstmCell of %i rows, %i tokens, %i heads of %i, gates up to %f', async (b, T, H, d, spread) => {
    const D = H * d;
    const gates = [b, T, D];
    const shapes = { i: gates, f: gates, z: gates, o: gates, r: [4, H, d, d], b: [4, D] };
    const inputs = {
      i: scaled(b * T * D, 3, (u) => spread * u),
      f: scaled(b * T * D, 4, (u) => spread * u),
      r: scaled(4 * D * d, 5, (u) => u / Math.sqrt(d)),
    };
    const check = { forward: slstm.slstmCell, gradient: slstm.slstmCellGrad, plain: plainSlstm, shapes, inputs };
    // Exponents of hundreds have a last digit of 3e-5.
    await agree(check, spread > 100 ? 1e-4 : tolerance);
  });

  it('SlstmCell refuses heads wider than a workgroup’s memory, in a sentence', async () => {
    const gates = [1, 1, 1025];
    const shapes = { i: gates, f: gates, z: gates, o: gates, r: [4, 1, 1025, 1025], b: [4, 1025] };
    const { gpu } = await import('../../../kernels/slstm-cell/gpu');
    expect(gpu.SlstmCell.refuses?.(slstm.slstmCell.ints(shapes, {}))).toMatch(/a head has 1025 channels/);
  });

  /** Gates of the given spread; forget gates around `open`. */
  const mlstmCheck = (
    [b, H, T, d]: number[],
    { spread = 1, open = 2, ...attrs }: Record<string, unknown> & { spread?: number; open?: number } = {},
  ) => {
    const [wide, gates] = attrs.tokensFirst
      ? [
          [b, T, H, d],
          [b, T, H],
        ]
      : [
          [b, H, T, d],
          [b, H, T],
        ];
    return {
      forward: mlstm.mlstmCell,
      gradient: mlstm.mlstmCellGrad,
      plain: plainMlstm,
      shapes: { q: wide, k: wide, v: wide, i: gates, f: gates },
      inputs: {
        i: scaled(b * H * T, 8, (u) => spread * u),
        f: scaled(b * H * T, 9, (u) => spread * u + open),
      },
      attrs,
    };
  };

  it.each([
    [1, 1, 1, 1],
    [2, 2, 65, 5],
    [1, 1, 130, 70],
    [0, 2, 3, 4],
  ])('MlstmCell of %i rows, %i heads, %i tokens, width %i', async (...sizes) => {
    // One token outweighs nothing, and forgets nothing: slopes of its gates cancel.
    await agree({ ...mlstmCheck(sizes), floor: sizes[2] === 1 ? 1 : undefined }, tolerance);
  });

  it.each([
    [1, 1, 1, 1, 1, 1, 1],
    [2, 17, 4, 2, 5, 3, 1],
    [1, 33, 3, 3, 2, 66, 1],
    [1, 16, 6, 2, 70, 2, 1],
    [1, 40, 2, 2, 4, 5, 1e4],
    [1, 40, 2, 2, 4, 5, 0],
    [0, 3, 2, 1, 4, 2, 1],
  ])(
    'GatedLinearScan of %i rows, %i tokens, %i heads on %i, widths %i and %i, decay %f',
    async (b, T, H, Hk, d, e, decay) => {
      const keys = [b, T, Hk, d];
      const shapes = { q: [b, T, H, d], k: keys, v: [b, T, Hk, e], g: keys };
      const inputs = { g: scaled(b * T * Hk * d, 9, (u) => (decay * (u - 1)) / 2) };
      const check = {
        forward: gla.gatedLinearScan,
        gradient: gla.gatedLinearScanGrad,
        plain: plainScan,
        shapes,
        inputs,
      };
      await agree(check, tolerance);
    },
  );

  it('same bits each time, where lanes work together', async () => {
    const shape = [1, 2, 20, 9];
    const shapes = { r: shape, w_log: shape, k: shape, v: shape, a: shape, b: shape };
    const inputs = Object.fromEntries(Object.keys(shapes).map((name, i) => [name, scaled(360, i, (u) => u / 3 - 0.4)]));
    const once = async () => {
      const { y, states } = await run(wkv7.wkv7, inputs, shapes, {});
      return run(wkv7.wkv7Grad, { ...inputs, states, dy: y }, { ...shapes, states: [1, 2, 2, 9, 9], dy: shape }, {});
    };
    expect(await once()).toEqual(await once());
  });
});
