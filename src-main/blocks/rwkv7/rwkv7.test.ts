// RWKV-7's time mixing: golden cases, decoding, values handed from the first layer on, starting values and rules.
import { expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { buildModel, initialValues } from '../../engine/build';
import { inspect } from '../../engine/cost';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { MODEL_FORMAT, type Node } from '../../spec/model';
import { complete } from '../../spec/options';
import { ruleFlops } from '../wkv7/block';
import block from './block';

const small = { headDim: 4, decayRank: 3, rateRank: 2, valueRank: 5, gateRank: 4 };
const options = (given: object) => complete(block.options, given as Record<string, unknown>);

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', { T: [1, 19], width: 8, options: [small] });

  const cases = [
    { width: 8, T: 1, options: small },
    { width: 1, T: 5, options: { ...small, headDim: 1 } },
    { width: 8, T: 35, options: small },
  ];
  it.each(cases)('decodes what it computes at once: %j', (given) => decodesAlike(block, given));
  it('never looks ahead', () => staysCausal(block, { width: 8, T: 21, options: small }));

  it('takes the values of the first layer, and decodes with them', () => {
    tf.tidy(() => {
      const o = options({ ...small, layer: 1, layers: 3 });
      const weights = weightsFor(block, o, 8);
      const x = noise([2, 6, 8], 'x') as tf.Tensor3D;
      const v_first = noise([2, 6, 8], 'v') as tf.Tensor3D;
      const run = (given: tf.Tensor) => block.layer.forward(x, weights, { options: o, shared: { v_first: given } });
      const whole = run(v_first).dataSync();
      expect(relativeError(run(tf.zerosLike(v_first)).dataSync(), whole)).toBeGreaterThan(1e-2);
      let state = block.layer.begin!(2, 8, o);
      const ys = [0, 1, 2, 3, 4, 5].map((position) => {
        const at = (u: tf.Tensor3D) => tf.slice(u, [0, position, 0], [2, 1, 8]) as tf.Tensor3D;
        const shared = { v_first: at(v_first) };
        const done = block.layer.step!(at(x), weights, state, { options: o, position, shared });
        state = done.state;
        return done.y;
      });
      expect(relativeError(tf.concat(ys, 1).dataSync(), whole)).toBeLessThan(1e-5);
    });
  });

  it('hands values on inside a model: without the first layer’s, a later one answers with a sentence', () => {
    const build = (layers: Node[]) =>
      buildModel(
        { format: MODEL_FORMAT, width: 8, positions: 'none', layers, finalNorm: 'rms', head: { tied: true } },
        { vocabulary: 5, tokens: 4, seed: 1 },
      );
    const ids = tf.tensor2d([[1, 2, 3, 4]], [1, 4], 'int32');
    const node = (given: object) => ({ block: 'rwkv7', options: { ...small, ...given } });
    const two = build([{ repeat: 2, layers: [node({})] }]);
    expect([...two.weights.keys()].filter((name) => name.endsWith('.v0'))).toEqual(['layers.1.v0']);
    two.logits(ids).dispose();
    const o = { ...options(small), layer: 1 };
    tf.tidy(() => {
      const { weights, x } = prepare(block, { width: 8, T: 4, B: 1, options: o });
      expect(() => block.layer.forward(x, weights, { options: o, shared: {} })).toThrow('no layer 0 came before it');
    });
    two.dispose();
    ids.dispose();
  });

  it('is refused in a model whose first layer of the kind is another than 0', () => {
    const problems = (layers: Node[]) =>
      inspect(
        { format: MODEL_FORMAT, width: 8, positions: 'none', layers, finalNorm: 'rms', head: { tied: true } },
        { tokens: 4, vocabulary: 5 },
      ).problems;
    const node = (given: object) => ({ block: 'rwkv7', options: { ...small, ...given } });
    const refusal = (path: string, layer: number) => ({
      path: `${path}.options.layer`,
      message: `layer ${layer} blends its values with those of layer 0, and no layer 0 stands before it`,
      hint: 'set layer to -1, which counts in the model',
      fix: -1,
    });
    expect(problems([node({ layer: 1 })])).toEqual([refusal('model.layers[0]', 1)]);
    expect(problems([{ repeat: 3, layers: [{ block: 'mlp' }, node({ layer: 2 })] }])).toEqual([
      refusal('model.layers[0].layers[1]', 2),
    ]);
    expect(problems([node({ layer: 1 }), node({})])).toEqual([refusal('model.layers[0]', 1)]);
    for (const fine of [[node({}), node({ layer: 5 })], [node({ layer: 0 })], [{ repeat: 2, layers: [node({})] }]])
      expect(problems(fine)).toEqual([]);
    expect(() =>
      buildModel(
        { format: MODEL_FORMAT, width: 8, positions: 'none', layers: [node({ layer: 1 })], finalNorm: 'rms', head: { tied: true } }, // biome-ignore format: one line
        { vocabulary: 5, tokens: 4, seed: 1 },
      ),
    ).toThrow('model.layers[0].options.layer: layer 1 blends');
  });

  it('counts the matrix products that run', async () => {
    const [D, T] = [16, 5];
    const o = options(small);
    const counted = await productFlops(() => {
      const { weights, x } = prepare(block, { width: D, T, B: 1, options: o });
      return block.layer.forward(x, weights, { options: o });
    });
    const { matrices, forward } = ruleFlops(4);
    const elementwise = T * (40 * D + 4 * (forward - matrices));
    expect(Math.abs(counted / (block.cost(o, D, T).forwardFlops - elementwise) - 1)).toBeLessThan(0.01);
  });

  it('starts as published, by channel and depth', () => {
    const weights = block.weights(options({ headDim: 3, layer: 1, layers: 2 }), 6);
    const start = (name: string) => Array.from(initialValues(1, name, weights[name], 1));
    const rounded = (values: number[]) => values.map((value) => Math.fround(value));
    const six = [0, 1, 2, 3, 4, 5];
    expect(start('x_w')).toEqual(rounded(six.map((j) => 1 - (j / 6) ** 0.45)));
    expect(start('w0')).toEqual(rounded(six.map((j) => -5.5 + 6 * (j / 5) ** 2 + 2.5 * [-1, 0, 1][j % 3])));
    expect(start('v0')).toEqual(rounded(six.map((j) => 0.73 - 0.4 * (j / 5 - 0.5))));
    expect(start('ln_w')).toEqual(Array(6).fill(1));
    expect(block.weights(options({}), 64)).not.toHaveProperty('v0');
    expect(weights.w1.shape).toEqual([6, 32]);
    expect(weights.w1.decay).toBe(false);
  });

  it('names heads that do not divide the width', () => {
    const [problem] = block.rules!(options({ headDim: 32 }), 48, 'options');
    expect(`${problem.path}: ${problem.message}`).toBe(
      'options.headDim: heads of 32 channels do not divide the width 48',
    );
    expect(problem.fix).toBe(24);
  });
});
