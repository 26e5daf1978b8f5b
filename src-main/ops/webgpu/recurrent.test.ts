// The shaders of the recurrent kernels against the plain loops: odd lengths and widths, extreme decays, several heads, segment borders.
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { Shapes } from '../../../kernels/core/kernel';
import { draw } from '../../../kernels/core/testing';
import * as gla from '../../../kernels/gated-linear-scan/kernel';
import { plain as plainScan } from '../../../kernels/gated-linear-scan/plain';
import * as mlstm from '../../../kernels/mlstm-cell/kernel';
import { plain as plainMlstm } from '../../../kernels/mlstm-cell/plain';
import * as recurrent from '../../../kernels/recurrent/kernel';
import { plain as plainRecurrent } from '../../../kernels/recurrent/plain';
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

  const { lstm, lstmGrad, lstmStep, gru, gruGrad, gruStep } = recurrent;
  const nets = [
    { title: 'Lstm', forward: lstm, gradient: lstmGrad, step: lstmStep, gates: 4, bias: false },
    { title: 'Gru', forward: gru, gradient: gruGrad, step: gruStep, gates: 3, bias: false },
    { title: 'Gru with biases', forward: gru, gradient: gruGrad, step: gruStep, gates: 3, bias: true },
  ];
  describe.each(nets)('$title', ({ forward, gradient, step, gates, bias }) => {
    const weights = (h: number): Shapes => ({ w: [h, gates * h], ...(bias && { bias: [gates * h] }) });
    const drawn = (size: number, h: number, spread: number) => ({
      gates: scaled(size, 3, (u) => spread * u),
      w: scaled(gates * h * h, 4, (u) => u / Math.sqrt(h)),
    });

    it.each([
      [1, 1, 1, 2],
      [5, 9, 7, 2],
      [2, 130, 5, 2],
      [3, 4, 67, 2],
      [1, 3, 260, 2],
      [2, 33, 6, 200],
      [0, 3, 2, 2],
    ])('of %i rows, %i tokens, a state of %i, gates up to %f', async (B, T, h, spread) => {
      const shapes = { gates: [B, T, gates * h], ...weights(h) };
      const inputs = drawn(B * T * gates * h, h, spread);
      await agree({ forward, gradient, plain: plainRecurrent, shapes, inputs }, tolerance);
    });

    it.each([
      [1, 1],
      [3, 33],
      [2, 70],
    ])('takes one token of %i rows and a state of %i', async (B, h) => {
      const state = { h: [B, h], ...(gates === 4 && { c: [B, h] }) };
      const shapes: Shapes = { gates: [B, gates * h], ...weights(h), ...state };
      const inputs = drawn(B * gates * h, h, 2);
      await agree({ forward: step, plain: plainRecurrent, shapes, inputs }, tolerance);
    });
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
    [40, 8, 5],
    [130, 5, 10],
    [130, 5, 20],
  ])('MlstmCell of %i tokens and width %i keeps its digits under gates of ±%i', async (T, d, spread) => {
    await agree(mlstmCheck([2, 2, T, d], { spread, open: 0 }), tolerance);
  });

  it('MlstmCell with tokens before heads, other forget gates, large eps and none', async () => {
    await agree(mlstmCheck([2, 3, 70, 5], { tokensFirst: true }), tolerance);
    for (const open of [-0.5, 0.5]) await agree(mlstmCheck([1, 2, 130, 4], { forgetGate: 'exp', open }), 1e-4);
    for (const eps of [0.1, 0]) await agree(mlstmCheck([1, 2, 130, 4], { eps }), tolerance);
  });

  it('MlstmCell keeps the stabiliser before each chunk', async () => {
    const { shapes, inputs } = mlstmCheck([1, 1, 130, 2]);
    const given = { ...inputs, q: draw(260, 1), k: draw(260, 2), v: draw(260, 3) };
    const { stabilisers } = await run(mlstm.mlstmCell, given, shapes, {});
    const wanted = plainMlstm.MlstmCell(given, shapes, {}).stabilisers;
    // The first is -1e30, beside which an error of the others would not show.
    for (const chunk of [1, 2]) expect(stabilisers[chunk]).toBeCloseTo(wanted[chunk], 5);
  });

  it('MlstmCell keeps the digits of forget gates near 1', async () => {
    const { shapes } = mlstmCheck([1, 1, 130, 2]);
    const i = Float64Array.from({ length: 130 }, (_, t) => (t ? -30 : 0));
    const given = { q: draw(260, 1), k: draw(260, 2), v: draw(260, 3), i, f: new Float64Array(130).fill(12) };
    const { stabilisers } = await run(mlstm.mlstmCell, given, shapes, {});
    // The first token is all there is: its weight after 63 and 127 steps of ln sigmoid(12) = -6e-6.
    for (const chunk of [1, 2])
      expect(stabilisers[chunk] / ((1 - 64 * chunk) * Math.log1p(Math.exp(-12)))).toBeCloseTo(1, 4);
  });

  it('SlstmCell keeps the digits of small cell inputs', async () => {
    const gates = [1, 5, 2];
    const shapes = { i: gates, f: gates, z: gates, o: gates, r: [4, 2, 1, 1], b: [4, 2] };
    const inputs = {
      z: scaled(10, 3, (u) => 1e-5 * u),
      r: scaled(8, 4, () => 0),
      b: scaled(8, 5, () => 0),
    };
    // Outputs are near 1e-6: the error must be small beside them.
    await agree({ forward: slstm.slstmCell, plain: plainSlstm, shapes, inputs, floor: 1e-9 }, tolerance);
  });

  it('MlstmCell survives gates of a hundred and more', async () => {
    // Weights that are neither 0 nor 1 are few, so most slopes cancel: errors are held to the size of the terms.
    for (const spread of [100, 300])
      await agree({ ...mlstmCheck([1, 2, 130, 4], { spread, open: 0 }), floor: 1 }, 1e-4);
    // The floor of the denominator overflows where all gates are far below 0, and vanishes where they are far above.
    const check = mlstmCheck([1, 1, 66, 3]);
    for (const shift of [-150, 60])
      await agree(
        { ...check, floor: 1, inputs: { ...check.inputs, i: check.inputs.i.map((u) => u + shift) } },
        // Without a floor a denominator may be what is left of terms a hundred times as large.
        shift > 0 ? 1e-3 : 1e-4,
      );
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
