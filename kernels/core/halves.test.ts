// Kernels on arrays of bfloat16, as captured steps keep them: the bits that come of float32 arrays, whichever of the arguments are halves.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  attentionGrad,
  differentialAttention,
  differentialAttentionGrad,
  latentAttentionGrad,
} from '../attention/kernel';
import { causalConvGrad } from '../causal-conv/kernel';
import { kernels as activations } from '../gated-activation/kernel';
import { headNorm, headNormGrad } from '../head-norm/kernel';
import { kernels as maps } from '../linear/kernel';
import { kernels as norms } from '../rms-norm/kernel';
import { convScanGrad } from '../ssd-scan/whole';
import { kernels as blends } from '../token-mix/kernel';
import { wkv4Grad } from '../wkv4/kernel';
import { rwkv7Mix, rwkv7MixGrad } from '../wkv7/mix';
import { type Attrs, type Shapes, sizeOf } from './kernel';
import { draw, type Native, natives } from './testing';

/** A call by its sizes; `able`: arguments (inputs, then outputs) that may be halves. */
interface Case {
  title: string;
  kernel: string;
  inputs: readonly number[];
  outputs: readonly number[];
  ints: readonly number[];
  floats: readonly number[];
  able: readonly number[];
}

const attentions = [attentionGrad, differentialAttention, differentialAttentionGrad, latentAttentionGrad];
const mixers = [causalConvGrad, convScanGrad, headNorm, headNormGrad, ...blends, wkv4Grad, rwkv7Mix, rwkv7MixGrad];
const known = new Map([...activations, ...maps, ...norms, ...attentions, ...mixers].map((one) => [one.name, one]));

/** `able` by name: inputs, then outputs. */
function of(name: string, shapes: Shapes, able: readonly string[], attrs: Attrs = {}): Case {
  const kernel = known.get(name)!;
  const inputs = kernel.inputs.map((one) => one.replace('?', ''));
  const outputs = Object.entries(kernel.outputs(shapes, attrs));
  const names = [...inputs, ...outputs.map(([one]) => one)];
  return {
    title: `${name} ${JSON.stringify(shapes)}`,
    kernel: name,
    inputs: inputs.map((one) => (shapes[one] ? sizeOf(shapes[one]) : -1)),
    outputs: outputs.map(([, shape]) => sizeOf(shape)),
    ints: kernel.ints(shapes, attrs),
    floats: kernel.floats?.(attrs) ?? [],
    able: able.map((one) => names.indexOf(one)),
  };
}

const product = (batch: number, m: number, k: number, n: number, transA: boolean, transB: boolean): Case => ({
  title: `MatMul ${batch} of [${m}, ${k}]${transA ? 'ᵀ' : ''} × [${k}, ${n}]${transB ? 'ᵀ' : ''}`,
  kernel: 'MatMul',
  inputs: [batch * m * k, batch * k * n],
  outputs: [batch * m * n],
  ints: [batch, m, n, k, Number(transA), Number(transB), m * k, k * n],
  floats: [],
  able: m > 8 && n > 1 ? [0, 1] : [],
});
/** Each way of cutting, at even and odd depths; few rows and a single column are left to float32. */
const products = [
  [1, 61, 64, 75],
  [1, 61, 63, 75],
  [1, 300, 256, 352], // blocks of rows by groups of columns
  [1, 150, 2500, 260], // two stretches of depth
  [1, 33, 2048, 40], // parts of the depth
  [3, 20, 30, 40],
  [1, 9, 5, 2],
  [1, 8, 64, 64],
  [1, 40, 64, 1],
].flatMap(([batch, m, k, n]) => [0, 1, 2, 3].map((way) => product(batch, m, k, n, (way & 1) === 1, (way & 2) === 2)));

/** x [rows, D] to several columns, and back. */
function linear(rows: number, D: number, columns: readonly number[]): Case[] {
  const count = columns.length;
  const w = Object.fromEntries(columns.map((n, i) => [`w${i}`, [D, n]]));
  const dy = Object.fromEntries(columns.map((n, i) => [`dy${i}`, [rows, n]]));
  const whole = { x: [rows, D], w: [D, columns.reduce((a, b) => a + b)] };
  const wide = columns.every((n) => n > 1);
  const takes = rows > 8 && wide ? ['x'] : [];
  const gives = rows > 8 && wide && D > 8 ? ['x', ...Object.keys(dy)] : [];
  return [
    of(`Linear${count}`, { x: [rows, D], ...w }, takes),
    of(`Linear${count}Grad`, { x: [rows, D], ...w, ...dy }, gives),
    of(`SplitLinear${count}`, whole, takes, { columns }),
    of(`SplitLinear${count}Grad`, { ...whole, ...dy }, gives, { columns }),
  ];
}

/** Two rows of `tokens` tokens and four heads: attention in its three forms, keys cut into several parts where there are many tokens. */
function attending(tokens: number): Case[] {
  const [heads, keys, wide, narrow] = [
    [2, tokens, 4, 12],
    [2, tokens, 2, 12],
    [2, tokens, 4, 10],
    [2, tokens, 2, 10],
  ];
  const turning = { cos: [tokens, 3], sin: [tokens, 3] };
  const sums = [2, 4, tokens];
  const attrs = { causal: true, scale: 0.3 };
  const latent = { q: heads, shared: [2, tokens, 6], ...turning, lse: sums };
  const two = { q: heads, k: [2, tokens, 4, 12], v: narrow, rest: [], weight: [10], ...turning };
  const [tied, apart] = [
    { kv: keys, o: heads, do: heads },
    { kv: [2, tokens, 2, 16], o: wide, do: wide },
  ];
  const of2 = { first: narrow, second: narrow, lse: sums, dy: narrow };
  return [
    of(
      'AttentionGrad',
      { q: heads, k: keys, v: narrow, ...turning, o: wide, lse: sums, do: wide },
      ['dq', 'dk', 'dv'],
      attrs,
    ),
    of('LatentAttentionGrad', { ...latent, ...tied }, ['dq'], { ...attrs, own: 6, valueAt: 0 }),
    of('LatentAttentionGrad', { ...latent, ...apart }, ['dq', 'dkv'], { ...attrs, own: 6, valueAt: 6 }),
    of('DifferentialAttention', two, ['y'], { ...attrs, epsilon: 1e-5 }),
    of('DifferentialAttentionGrad', { ...two, ...of2 }, ['dq', 'dk', 'dv'], { ...attrs, epsilon: 1e-5 }),
  ];
}

/** Two rows of 37 tokens through what mixes them in other ways. */
function mixing(): Case[] {
  const [x, C] = [[2, 37, 24], [24]];
  const heads = { heads: 3, epsilon: 1e-5 };
  const moments = { mean: [74, 3], rstd: [74, 3], dy: x };
  const maps = ['r', 'decay', 'key', 'v', 'rate', 'gate', 'first', 'share'];
  const channels = ['w0', 'a0', 'k_k', 'k_a', 'r_k', 'ln_w', 'ln_b', 'v0'];
  const mixed = Object.fromEntries([...maps.map((name) => [name, x]), ...channels.map((name) => [name, C])]);
  const scan = { mixed: [2, 37, 40], taps: [4, 40], bias: [40], dt: [2, 37, 3], A: [3], D: [3] };
  const kept = { o: x, out: x, states: [2, 3, 3, 8, 8] };
  return [
    of('CausalConvGrad', { x, weight: [4, 24], bias: C, dy: x }, ['dx'], { activation: 'silu' }),
    of('ConvScanGrad', { ...scan, dy: x }, ['dmixed'], { groups: 1, state: 8 }),
    of('HeadNorm', { x, weight: C, bias: C, skip: C, side: x, gate: x }, ['y'], heads),
    of('HeadNormGrad', { x, weight: C, skip: C, side: x, gate: x, ...moments }, ['dgate'], heads),
    of('TokenMix2', { x, w0: C, w1: C }, ['y0', 'y1'], { weighs: 'before' }),
    of('Wkv4Grad', { k: x, v: x, w: C, u: C, sums: [2, 1, 3, 24], dy: x }, ['dk', 'dv']),
    of('Rwkv7Mix', mixed, ['y'], heads),
    of(
      'Rwkv7MixGrad',
      { ...mixed, ...kept, dy: x },
      maps.map((name) => `d${name}`),
      heads,
    ),
  ];
}

const row = [33, 50];
const norm = { x: row, weight: [50] };
const eps = { epsilon: 1e-5 };
const gated = { gate: row, up: row };
const cases: readonly Case[] = [
  ...products,
  ...linear(130, 96, [96, 40, 33]),
  ...linear(260, 128, [350, 350]),
  ...linear(70, 9, [2, 5]),
  ...linear(8, 64, [32, 32]),
  ...linear(40, 8, [32, 32]),
  ...linear(40, 16, [1, 32]),
  ...attending(37),
  ...attending(300),
  ...mixing(),
  of('RmsNorm', norm, ['y'], eps),
  of('RmsNormGrad', { ...norm, rstd: [33, 1], dy: row }, ['dx'], eps),
  of('AddRmsNorm', { ...norm, y: row }, ['u'], eps),
  of('AddRmsNormGrad', { weight: [50], sum: row, rstd: [33, 1], dsum: row, du: row }, ['dx'], eps),
  ...[true, false].flatMap((gateFirst) => [
    of('GatedRmsNorm', { ...norm, gate: row }, ['y'], { ...eps, gateFirst, groups: 2 }),
    of('GatedRmsNormGrad', { ...norm, gate: row, rstd: [33, 2], dy: row }, ['dx', 'dgate'], {
      ...eps,
      gateFirst,
      groups: 2,
    }),
  ]),
  ...['silu', 'gelu', 'relu2'].flatMap((activation) => [
    of('Activation', { x: row }, ['y'], { activation }),
    of('ActivationGrad', { x: row, dy: row }, ['dx'], { activation }),
    of('ActivationAgain', { x: row, dy: row }, ['dx', 'y'], { activation }),
    of('GatedActivation', gated, ['y'], { activation }),
    of('GatedActivationGrad', { ...gated, dy: row }, ['dgate', 'dup'], { activation }),
    of('GatedActivationAgain', { ...gated, dy: row }, ['dgate', 'dup', 'y'], { activation }),
    of('PackedGatedActivation', { x: [33, 50] }, ['y'], { activation }),
    of('PackedGatedActivationGrad', { x: [33, 50], dy: [33, 25] }, ['dx'], { activation }),
  ]),
];

/** To bfloat16, to the nearest even. */
function halvesOf(floats: Float32Array): Uint16Array {
  const bits = new Uint32Array(floats.buffer);
  return Uint16Array.from(bits, (u, i) => (Number.isNaN(floats[i]) ? 0x7fc0 : (u + 0x7fff + ((u >>> 16) & 1)) >>> 16));
}

function compare(native: Native, { kernel, inputs, outputs, ints, floats, able }: Case, halved: readonly number[]) {
  const given = inputs.map((size, i) => (size < 0 ? undefined : Float32Array.from(draw(size, i + 1))));
  const wanted = outputs.map((size) => new Float32Array(size).fill(Number.NaN));
  native.raw(kernel, given, wanted, ints, floats);
  const half = (i: number) => able.includes(i) && halved.includes(i);
  const got = outputs.map((size, i) =>
    half(inputs.length + i) ? new Uint16Array(size).fill(0x7fc0) : new Float32Array(size).fill(Number.NaN),
  );
  native.halved(
    kernel,
    given.map((array, i) => (array && half(i) ? halvesOf(array) : array)),
    got,
    ints,
    floats,
  );
  for (const [i, array] of got.entries())
    expect(array, `output ${i}`).toEqual(array instanceof Uint16Array ? halvesOf(wanted[i]) : wanted[i]);
}

for (const native of natives({ emulated: true }))
  describe(native.isa, () => {
    beforeEach(() => native.bfloat16(true));
    afterEach(() => native.bfloat16(false));

    it.each(cases.map((one) => [one.title, one] as const))('%s', (_, one) => {
      const { kernel, inputs, outputs, ints, floats, able } = one;
      const bits = native.able(kernel, inputs.length, outputs.length, ints, floats);
      expect(bits).toBe(able.reduce((sum, i) => sum + 2 ** i, 0));
      if (able.length > 1) for (const i of able) compare(native, one, [i]);
      if (able.length) compare(native, one, able);
    });

    it('halves are for bfloat16 alone, and only where a kernel says so', () => {
      const { kernel, inputs, outputs, ints, floats } = product(1, 61, 64, 75, false, false);
      native.bfloat16(false);
      expect(native.able(kernel, inputs.length, outputs.length, ints, floats)).toBe(0);
      const few = product(1, 8, 64, 64, false, false);
      const run = () =>
        native.halved('MatMul', [new Uint16Array(512), new Float32Array(4096)], [new Float32Array(512)], few.ints, []);
      expect(run).toThrow(/code is damaged/);
    });
  });
