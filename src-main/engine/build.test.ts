// Building: names and values of weights, groups and branches, norms and positions, and what is refused.
import { beforeAll, expect, it } from 'vitest';
import { tf, useDevice } from '../ops';
import { MODEL_FORMAT, type ModelSpec, type Node } from '../spec/model';
import { stream } from '../spec/random';
import { buildModel, initialValues, type Model } from './build';
import { relativeError } from './parity';

const spec = (layers: Node[], rest: Partial<ModelSpec> = {}): ModelSpec => ({
  format: MODEL_FORMAT,
  width: 8,
  positions: 'none',
  layers,
  finalNorm: 'none',
  head: { tied: true },
  ...rest,
});
const mlp = (rest: object = {}): Node => ({ block: 'mlp', norm: 'none', ...rest });
const build = (s: ModelSpec, seed = 1) => buildModel(s, { vocabulary: 5, tokens: 6, seed });
const ids = [
  [0, 1, 2, 3, 4, 0],
  [4, 4, 1, 0, 2, 3],
];
const logits = (model: Model) => tf.tidy(() => model.logits(tf.tensor2d(ids, [2, 6], 'int32')).dataSync<'float32'>());
const startOf = (model: Model, name: string) => Array.from(model.weights.get(name)!.dataSync());

beforeAll(async () => {
  await useDevice('reference');
});

it('names weights by built block, with positions, norms and an untied head', () => {
  const model = build(
    spec([{ repeat: 2, layers: [mlp({ norm: 'layer' })] }, mlp({ norm: 'rms' })], {
      positions: 'learned',
      finalNorm: 'layer',
      head: { tied: false },
    }),
  );
  const block = (n: number, ...rest: string[]) => [...rest, 'w_up', 'w_down'].map((name) => `layers.${n}.${name}`);
  expect([...model.weights.keys()]).toEqual([
    'embedding',
    'positions',
    ...block(0, 'norm', 'norm_bias'),
    ...block(1, 'norm', 'norm_bias'),
    ...block(2, 'norm'),
    'final_norm',
    'final_norm_bias',
    'head',
  ]);
  expect(model.parameters).toBe([...model.weights.values()].reduce((sum, weight) => sum + weight.size, 0));
  model.dispose();
});

it('draws a weight from seed and name alone', () => {
  const short = build(spec([mlp()]));
  const long = build(spec([mlp(), mlp()], { finalNorm: 'rms', head: { tied: false } }));
  expect(startOf(long, 'layers.0.w_up')).toEqual(startOf(short, 'layers.0.w_up'));
  expect(startOf(long, 'embedding')).toEqual(startOf(short, 'embedding'));
  expect(startOf(long, 'layers.1.w_up')).not.toEqual(startOf(long, 'layers.0.w_up'));
  const other = build(spec([mlp()]), 2);
  expect(startOf(other, 'layers.0.w_up')).not.toEqual(startOf(short, 'layers.0.w_up'));
  for (const model of [short, long, other]) model.dispose();
});

it('draws uniform and normal numbers with the right moments, different for each name', () => {
  const n = 20_000;
  const moments = (values: number[]) => {
    const mean = values.reduce((a, b) => a + b, 0) / n;
    return [mean, Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / n)];
  };
  const draw = stream('weight', 0, 'a');
  const other = stream('weight', 0, 'b');
  const uniform = Array.from({ length: n }, () => draw.uniform());
  const [mean, std] = moments(uniform);
  // Five standard errors of 20,000 draws: 0.01 for the mean of uniforms, 0.035 for normals.
  expect(Math.abs(mean - 0.5)).toBeLessThan(0.0102);
  expect(Math.abs(std - Math.sqrt(1 / 12))).toBeLessThan(0.006);
  const [centre, spread] = moments(Array.from({ length: n }, () => draw.normal()));
  expect(Math.abs(centre)).toBeLessThan(0.035);
  expect(Math.abs(spread - 1)).toBeLessThan(0.025);
  const related = uniform.reduce((sum, u) => sum + (u - 0.5) * (other.uniform() - 0.5), 0) / n / (1 / 12);
  expect(Math.abs(related)).toBeLessThan(0.035);
});

it('starts by kind, and divides a branch by the square root of their number', () => {
  const of = (init: Parameters<typeof initialValues>[2]['init'], branches = 1) =>
    Array.from(initialValues(1, 'w', { shape: [2, 2], init }, branches));
  expect(of({ kind: 'zeros' })).toEqual([0, 0, 0, 0]);
  expect(of({ kind: 'ones' })).toEqual([1, 1, 1, 1]);
  expect(of({ kind: 'drawn', value: (_, i) => i })).toEqual([0, 1, 2, 3]);
  const plain = of({ kind: 'normal', std: 0.02 }, 9);
  for (const [i, value] of of({ kind: 'normal', std: 0.02, branch: true }, 9).entries())
    expect(value).toBeCloseTo(plain[i] / 3, 8);
  expect(of({ kind: 'uniform', bound: 0.5 }).every((v) => Math.abs(v) < 0.5)).toBe(true);
});

it('adds parallel branches to one copy of the stream, or averages them', () => {
  const weights = (model: Model) => {
    for (const [name, weight] of model.weights)
      if (name.endsWith('w_down')) weight.assign(tf.mul(weight, 30) as typeof weight);
    return model;
  };
  const sum = weights(build(spec([{ parallel: [[mlp()], [mlp()]], combine: 'sum' }])));
  const mean = weights(build(spec([{ parallel: [[mlp()], [mlp()]], combine: 'mean' }])));
  const bare = weights(
    build(spec([{ parallel: [[mlp({ residual: false })], [mlp({ residual: false })]], combine: 'sum' }])),
  );
  const none = build(spec([]));
  const [all, half, only, x] = [sum, mean, bare, none].map(logits);
  // 1e-5: float32 sums in another order.
  expect(
    relativeError(
      all,
      only.map((v, i) => v + x[i]),
    ),
  ).toBeLessThan(1e-5);
  expect(
    relativeError(
      half,
      only.map((v, i) => v / 2 + x[i]),
    ),
  ).toBeLessThan(1e-5);
  expect(relativeError(all, x)).toBeGreaterThan(1e-3);
  for (const model of [sum, mean, bare, none]) model.dispose();
});

it('builds a repeat as copies with weights of their own', () => {
  const twice = build(spec([{ repeat: 2, layers: [mlp()] }]));
  const written = build(spec([mlp(), mlp()]));
  expect(Array.from(logits(twice))).toEqual(Array.from(logits(written)));
  twice.dispose();
  written.dispose();
});

it('grades masked tokens only, and smooths labels', () => {
  const model = build(spec([mlp()]));
  const loss = (mask?: number[][], labelSmoothing = 0) =>
    tf.tidy(() => {
      const x = tf.tensor2d(ids, [2, 6], 'int32');
      return model.loss(x, x, mask && tf.tensor2d(mask, [2, 6]), { labelSmoothing }).dataSync()[0];
    });
  const values = logits(model);
  const row = (b: number, t: number) => {
    const z = values.slice((b * 6 + t) * 5, (b * 6 + t + 1) * 5);
    const lse = Math.log(z.reduce((sum, u) => sum + Math.exp(u), 0));
    const off = z.reduce((sum, u) => sum + lse - u, 0) / 5;
    return { plain: lse - z[ids[b][t]], off };
  };
  const only = [Array(6).fill(0), [0, 0, 1, 0, 0, 1]];
  expect(loss(only)).toBeCloseTo((row(1, 2).plain + row(1, 5).plain) / 2, 5);
  expect(loss(only, 0.1)).toBeCloseTo(
    0.45 * (row(1, 2).plain + row(1, 5).plain) + 0.05 * (row(1, 2).off + row(1, 5).off),
    5,
  );
  expect(loss([Array(6).fill(0), Array(6).fill(0)])).toBe(0);
  expect(loss()).toBeCloseTo(loss([Array(6).fill(1), Array(6).fill(1)]), 6);
  model.dispose();
});

it('refuses what looks ahead, by name and path', () => {
  const layers: Node[] = [
    mlp(),
    { repeat: 2, layers: [{ block: 'softmax_attention', options: { causal: false, heads: 2 } }] },
  ];
  expect(() => build(spec(layers))).toThrow(
    'model.layers[1].layers[0].options.causal: softmax_attention looks at later tokens here, and a model that predicts the next token must not; set causal to true, or train the model to fill in masked tokens',
  );
});

it('refuses sequences beyond a learned position table', () => {
  const model = build(spec([mlp()], { positions: 'learned' }));
  expect(() => model.logits(tf.zeros([1, 7], 'int32') as tf.Tensor2D)).toThrow(
    'model.positions: 7 tokens do not fit a learned table of 6 positions',
  );
  model.dispose();
});

it('tells positions apart with learned and sinusoidal tables only', () => {
  const same = (positions: ModelSpec['positions']) => {
    const model = build(spec([mlp()], { positions }));
    const values = tf.tidy(() => model.logits(tf.tensor2d([[2, 2]], [1, 2], 'int32')).arraySync()[0]);
    model.dispose();
    return relativeError(values[1], values[0]) < 1e-6;
  };
  expect([same('none'), same('learned'), same('sinusoidal')]).toEqual([true, false, false]);
});
