// The count against what is really built and computed: parameters, matrix products, decode state.
import { beforeAll, describe, expect, it } from 'vitest';
import { scanFlops } from '../blocks/ssd_scan/block';
import { tf, useDevice } from '../ops';
import { MODEL_FORMAT, type ModelSpec, type Node } from '../spec/model';
import { buildModel, type Model } from './build';
import { inspect, stepFlops } from './cost';
import { disposeState, stateBytesOf } from './decode';
import { presets } from './presets';

const VOCABULARY = 13;
const T = 12;
const spec = (layers: Node[]): ModelSpec => ({
  format: MODEL_FORMAT,
  width: 24,
  positions: 'none',
  layers,
  finalNorm: 'rms',
  head: { tied: true },
});
const attention = {
  block: 'softmax_attention',
  options: { heads: 4, kvHeads: 2, headDim: 6, qkNorm: true, qkvBias: true },
};
const mamba2 = { block: 'mamba2', options: { dState: 5, headDim: 8, groups: 2, bias: true } };
const cases: [string, Node[]][] = [
  ['attention', [attention]],
  ['mamba2', [mamba2]],
  ['mlp', [{ block: 'mlp', options: { bias: true } }]],
  ['gated_mlp', [{ block: 'gated_mlp' }]],
  ['groups', [{ repeat: 3, layers: [attention, { parallel: [[mamba2], [{ block: 'mlp' }]], combine: 'mean' }] }]],
];
const context = { tokens: T, vocabulary: VOCABULARY };
const build = (layers: Node[]) => buildModel(spec(layers), { ...context, seed: 1 });

/** FLOPs of the matrix products that a function runs, counted from their shapes as TF.js saw them. */
async function products(run: () => tf.Tensor[]): Promise<number> {
  let outputs: tf.Tensor[] = [];
  const { kernels } = await tf.profile(() => {
    outputs = run();
    return outputs[0];
  });
  for (const output of outputs) output.dispose();
  return kernels
    .filter(({ name }) => name === 'BatchMatMul')
    .reduce((sum, { inputShapes: [a, b], outputShapes: [out] }) => {
      const size = (shape: number[]) => shape.reduce((n, d) => n * d, 1);
      const batch = out.length > 2 ? out[0] : 1;
      // a holds batch·M·K numbers, b batch·K·N, out batch·M·N, whichever of them is transposed.
      const K = Math.sqrt((size(a) * size(b)) / size(out) / batch);
      return sum + 2 * size(out) * K;
    }, 0);
}

const forward = (model: Model) =>
  products(() => [tf.tidy(() => model.logits(tf.zeros([1, T], 'int32') as tf.Tensor2D))]);
async function decoding(model: Model): Promise<number> {
  let state = model.begin(1);
  let total = 0;
  const token = tf.tensor1d([0], 'int32');
  for (let t = 0; t < T; t++)
    total += await products(() => {
      const done = model.step(token, state);
      state = done.state;
      return [done.logits];
    });
  token.dispose();
  disposeState(state);
  return total;
}

beforeAll(async () => {
  await useDevice('reference');
});

describe.each(cases)('%s', (_name, layers) => {
  it('has the parameters and the decode state that it says', () => {
    const model = build(layers);
    const { total, problems } = inspect(spec(layers), context);
    expect(problems).toEqual([]);
    expect(total.parameters).toBe(model.parameters);
    expect(total.embeddingParameters).toBe(VOCABULARY * 24);
    let state = model.begin(3);
    const token = tf.tensor1d([0, 1, 2], 'int32');
    for (let t = 0; t < T; t++) {
      const done = model.step(token, state);
      state = done.state;
      done.logits.dispose();
    }
    expect(total.stateBytes).toBe(stateBytesOf(state));
    token.dispose();
    disposeState(state);
    model.dispose();
  });
});

describe('FLOPs are the matrix products that run', () => {
  const share = (counted: number, said: number) => expect(Math.abs(counted / said - 1)).toBeLessThan(0.01);
  const said = (layers: Node[]) => T * inspect(spec(layers), context).total.flopsPerToken;

  it('of both MLPs, forward and backward', async () => {
    const layers: Node[] = [{ block: 'mlp' }, { block: 'gated_mlp' }];
    const model = build(layers);
    share(await forward(model), said(layers));
    const ids = tf.zeros([2, T], 'int32') as tf.Tensor2D;
    const step = await products(() => {
      const { value, grads } = tf.variableGrads(() => model.loss(ids, ids, undefined), [...model.weights.values()]);
      return [value, ...Object.values(grads)];
    });
    share(step, stepFlops(spec(layers), { ...context, batch: 2 }));
    ids.dispose();
    model.dispose();
  });

  it('of causal attention, whose decode steps together compute the triangle and no more', async () => {
    const model = build([attention]);
    share(await decoding(model), said([attention]));
    model.dispose();
  });

  it('of attention that sees all, at once', async () => {
    const layers: Node[] = [{ ...attention, options: { ...attention.options, causal: false } }];
    const model = buildModel(spec(layers), { ...context, seed: 1, order: 'any' });
    share(await forward(model), said(layers));
    model.dispose();
  });

  it('of Mamba-2, with the elementwise terms of its spec left out', async () => {
    const model = build([mamba2]);
    const [inner, H, P, G, N, K] = [48, 6, 8, 2, 5, 4];
    const scan = scanFlops({ H, P, G, N }, T);
    const elementwise = T * (2 * K * (inner + 2 * G * N) + 12 * inner) + scan.forward - scan.matrices;
    share(await forward(model), said([mamba2]) - elementwise);
    model.dispose();
  });
});

it('gives each node its own share, and a repeat that of all copies', () => {
  const layers: Node[] = [{ repeat: 3, layers: [attention, mamba2] }, { block: 'mlp' }];
  const { nodes, total } = inspect(spec(layers), context);
  const at = (path: string) => nodes.find((node) => node.path === path)!;
  expect(nodes.map((node) => node.path)).toEqual([
    'model.layers[0]',
    'model.layers[0].layers[0]',
    'model.layers[0].layers[1]',
    'model.layers[1]',
  ]);
  expect(total.blocks).toBe(7);
  for (const key of ['parameters', 'stateBytes', 'savedBytes'] as const)
    expect(at('model.layers[0]')[key]).toBe(
      at('model.layers[0].layers[0]')[key] + at('model.layers[0].layers[1]')[key],
    );
  const one = inspect(spec([attention]), context).nodes[0];
  expect(at('model.layers[0].layers[0]').parameters).toBe(3 * one.parameters);
  expect(at('model.layers[1]').shape).toBe('[B, 12, 24]');
});

it('answers a wrong model with its problems, and counts the blocks that are right', () => {
  const look = (model: unknown) => inspect(model, context);
  expect(look(null).problems[0].path).toBe('model');
  expect(look({ ...spec([]), width: 'wide' }).problems[0].path).toBe('model.width');
  expect(look(spec([])).problems[0].message).toBe('the stack is empty');
  const mixed = look(spec([{ block: 'mpl' }, { block: 'mlp' }, { block: 'mamba2' }]));
  expect(mixed.problems.map((problem) => problem.path)).toEqual([
    'model.layers[0].block',
    'model.layers[2].options.headDim',
  ]);
  expect(mixed.nodes.map((node) => node.parameters > 0)).toEqual([false, true, false]);
  const ahead = look(spec([{ block: 'softmax_attention', options: { causal: false } }]));
  expect(ahead.problems).toMatchObject([{ path: 'model.layers[0].options.causal', fix: true }]);
  const huge = { repeat: 256, layers: [{ repeat: 256, layers: [{ block: 'mlp' }] }] };
  expect(look(spec([huge])).problems[0].message).toContain('65536 blocks');
});

it('has presets that are right, small and different', () => {
  const sizes = presets.map(({ model, objective = 'next_token' }) => {
    const context = { tokens: 128, vocabulary: 256 };
    const { problems, total, ahead } = inspect(model, { ...context, objective });
    expect(problems).toEqual([]);
    expect(inspect(model, { ...context, objective: 'auto' }).objective).toBe(objective);
    // One that looks ahead is refused where the next token is to be predicted, by a sentence that names the block.
    const refused = inspect(model, context).problems;
    expect(refused.length > 0).toBe(objective === 'masked');
    for (const { message } of refused) expect(message).toMatch(new RegExp(`^${ahead[0]} looks at later tokens here`));
    return total.parameters;
  });
  for (const size of sizes) {
    expect(size).toBeGreaterThan(300_000);
    expect(size).toBeLessThan(700_000);
  }
  expect(new Set(presets.map((preset) => preset.id)).size).toBe(presets.length);
});
