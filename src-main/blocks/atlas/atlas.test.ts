// The atlas layer: golden cases, kernels against compositions, decoding under all kinds of options, cost, starting values and rules.
import { expect } from 'vitest';
import { describeBlock, noise } from '../../../test/suites/describe';
import { decoded, decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { initialValues } from '../../engine/build';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import { memoryFlops } from '../atlas_memory/block';
import block from './block';
import { sizes } from './options';

const options = (given: object = {}) => complete(block.options, given as Record<string, unknown>);
const base = { heads: 2, headDim: 4, hidden: 6 };

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  // Without orthogonalisation, which strengthens the rounding in which two paths differ.
  agree('fused', 'reference', {
    T: [1, 19],
    width: 6,
    options: [
      { ...base, nsSteps: 0, chunk: 4, window: 3 },
      { ...base, nsSteps: 0, memory: 'linear', featureMap: 'monomial', convSize: 0, chunk: 1 },
    ],
  });

  it.each([
    [1, { ...base }],
    [3, { ...base, window: 9, convSize: 1, featureMap: 'monomial' }],
    [21, { ...base, chunk: 1, window: 2, nsSteps: 1 }],
    [21, { ...base, chunk: 5, window: 7, convSize: 0, featureMap: 'none' }],
    [18, { ...base, memory: 'linear', window: 1, headDim: 0 }],
    [5, { heads: 1, headDim: 1, hidden: 1, nsSteps: 0 }],
  ])('decodes to the whole sequence, from a state of the size that it says: T %i, %j', (T, given) => {
    decodesAlike(block, { T, width: 6, options: given });
  });

  it('never looks ahead, across chunks neither', () => {
    staysCausal(block, { T: 20, width: 6, options: { ...base, chunk: 7, window: 3 } });
    staysCausal(block, { T: 6, width: 4, options: { ...base, chunk: 1, featureMap: 'monomial' } });
  });

  it.each([
    { ...base },
    { ...base, chunk: 1, window: 3, featureMap: 'monomial' },
    { ...base, memory: 'linear', window: 1, nsSteps: 2 },
  ])('computes the FLOPs that it says, with the elementwise terms of its spec: %j', async (given) => {
    const [T, D] = [32, 10];
    const counted = await productFlops(() => {
      const { x, weights, options: o } = prepare(block, { T, width: D, B: 1, options: given });
      return block.layer.forward(x, weights, { options: options(o) });
    });
    const o = options(given);
    const { F, h, d, H, inner, K } = sizes(o, D);
    const elementwise = 6 * K * inner * T + H * memoryFlops(o, { F, h, d }, T).elementwise;
    const said = block.cost(o, D, T).forwardFlops - elementwise;
    expect(Math.abs(counted / said - 1)).toBeLessThan(0.01);
  });

  it('stays finite with gates wide open or shut, and with tokens of zeros', () => {
    tf.tidy(() => {
      const { weights, options: o } = prepare(block, { T: 1, width: 6, options: base });
      for (const bias of [-40, 40]) {
        const own = {
          ...weights,
          b_alpha: tf.fill([2], -bias),
          b_gamma: tf.fill([2], bias),
          b_theta: tf.fill([2], bias),
        };
        const x = tf.concat([tf.zeros([1, 3, 6]), noise([1, 9, 6], 'x')], 1) as tf.Tensor3D;
        const y = block.layer.forward(x, own, { options: options(o) });
        const gradient = tf.grad((u) => tf.sum(block.layer.forward(u as tf.Tensor3D, own, { options: options(o) })))(x);
        expect(y.dataSync().every(Number.isFinite)).toBe(true);
        expect(gradient.dataSync().every(Number.isFinite)).toBe(true);
        expect(decoded(block, x, own, o).y.dataSync().every(Number.isFinite)).toBe(true);
      }
    });
  });

  it('starts with long memories, small steps and the chosen polynomial', () => {
    const start = (name: string, given: object) => {
      const spec = block.weights(options(given), 32)[name];
      return spec && Array.from(initialValues(1, name, spec, 4));
    };
    expect(start('b_alpha', { heads: 2 })).toEqual([4, 4]);
    expect(start('w_alpha', { heads: 2 })?.every((u) => u === 0)).toBe(true);
    expect(start('poly_coef', { featureMap: 'monomial' })).toEqual([0, 1, 1]);
    expect(start('poly_coef', { featureMap: 'monomial', start: 'taylor' })).toEqual([1, 1, Math.fround(Math.SQRT1_2)]);
    expect(start('poly_coef', { degree: 3, start: 'taylor' })).toEqual([1, 0.5, Math.fround(1 / 6)]);
    expect(start('poly_coef', { featureMap: 'none' })).toBeUndefined();
    expect(start('mem_w2', { memory: 'linear' })).toBeUndefined();
    expect(start('mem_w1', { memory: 'linear' })?.every((u) => u === 0)).toBe(true);
    const w1 = start('mem_w1', { headDim: 16 })!;
    const spread = Math.sqrt(w1.reduce((sum, u) => sum + u * u, 0) / w1.length);
    expect(spread * 4).toBeCloseTo(1, 1);
  });

  it.each([
    [{ heads: 3, headDim: 0 }, 'options.heads', 2],
    [{ featureMap: 'monomial', degree: 3 }, 'options.degree', 2],
  ])('names what does not go together: %j', (given, path, fix) => {
    const [problem] = block.rules!(options(given), 16, 'options');
    expect([problem.path, problem.fix]).toEqual([path, fix]);
    expect(problem.hint).toBeTruthy();
  });
});
