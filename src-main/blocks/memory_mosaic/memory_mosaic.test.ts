// Contextual memory: golden cases, kernels against compositions, decoding, odd leaks and sharp keys.
import { expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { initialValues } from '../../engine/build';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import { unit } from '../parts/memory_key';
import block from './block';

const options = (given: object = {}) => complete(block.options, given as Record<string, unknown>);
const decoded = (x: tf.Tensor3D, weights: Record<string, tf.Tensor>, o: ReturnType<typeof options>) => {
  const [B, T, D] = x.shape;
  let state = block.layer.begin!(B, D, o);
  const ys = Array.from({ length: T }, (_, position) => {
    const token = tf.slice(x, [0, position, 0], [B, 1, D]) as tf.Tensor3D;
    const done = block.layer.step!(token, weights, state, { options: o, position });
    state = done.state;
    return done.y;
  });
  return { y: tf.concat(ys, 1), state };
};

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', { T: [2, 65], width: 12, options: [{ heads: 3 }, { heads: 1, bias: true }] });
  agree('fused', 'reference', { T: [5], width: 4, options: [{ heads: 4 }] });

  it.each([
    [1, 6, 1],
    [2, 6, 3],
    [37, 8, 2],
  ])('decodes to the whole sequence: T %i, width %i, heads %i', (T, D, heads) => {
    tf.tidy(() => {
      const o = options({ heads, bias: true });
      const weights = weightsFor(block, o, D);
      const x = noise([2, T, D], 'x') as tf.Tensor3D;
      const { y, state } = decoded(x, weights, o);
      expect(relativeError(y.dataSync(), block.layer.forward(x, weights, { options: o }).dataSync())).toBeLessThan(1e-5);
      const numbers = Object.values(state).reduce((sum, { size }) => sum + size, 0);
      expect(numbers / 2).toBe(D * (2 * T + 1));
    });
  });

  it('gives the bias alone for the first token, with zero gradients for what it can not recall by', () => {
    tf.tidy(() => {
      const o = options({ heads: 2, bias: true });
      const weights = weightsFor(block, o, 4);
      const x = noise([1, 1, 4], 'x') as tf.Tensor3D;
      expect(block.layer.forward(x, weights, { options: o }).dataSync()).toEqual(weights.b_o.dataSync());
      const names = Object.keys(weights);
      const gradients = tf.grads((...given) => {
        const own = Object.fromEntries(names.map((name, i) => [name, given[i]]));
        return tf.sum(block.layer.forward(x, own, { options: o }));
      })(names.map((name) => weights[name]));
      for (const [i, name] of names.entries())
        expect(Math.max(...gradients[i].dataSync().map(Math.abs)), name).toBe(name === 'b_o' ? 1 : 0);
    });
  });

  it('takes a negative leak by its size, with the sign in the gradient', () => {
    tf.tidy(() => {
      const o = options({ heads: 2 });
      const weights = weightsFor(block, o, 6);
      const x = noise([1, 9, 6], 'x') as tf.Tensor3D;
      const slope = (leak: tf.Tensor) =>
        tf.valueAndGrad((l) =>
          tf.sum(tf.mul(block.layer.forward(x, { ...weights, leak: l }, { options: o }), noise([1, 9, 6], 'dy'))),
        )(leak);
      const plus = slope(tf.tensor1d([0.02, 0.3]));
      const minus = slope(tf.tensor1d([0.02, -0.3]));
      expect(minus.value.dataSync()).toEqual(plus.value.dataSync());
      expect(minus.grad.dataSync()[1]).toBe(-plus.grad.dataSync()[1]);
      expect(minus.grad.dataSync()[1]).not.toBe(0);
    });
  });

  it('stays finite with the longest keys, whose scale has no slope, and with tokens of zeros', () => {
    tf.tidy(() => {
      const o = options({ heads: 2 });
      const weights = { ...weightsFor(block, o, 6), key_scale: tf.tensor1d([1.2, 0.3]), leak: tf.tensor1d([0, 40]) };
      const x = tf.mul(noise([1, 12, 6], 'x'), tf.tensor3d([0, 0, ...Array(10).fill(1)], [1, 12, 1])) as tf.Tensor3D;
      const names = Object.keys(weights) as (keyof typeof weights)[];
      const gradients = tf.grads((...given) => {
        const own = Object.fromEntries(names.map((name, i) => [name, given[i + 1]]));
        return tf.sum(tf.square(block.layer.forward(given[0] as tf.Tensor3D, own, { options: o })));
      })([x, ...names.map((name) => weights[name])]);
      for (const gradient of gradients) expect(gradient.dataSync().every(Number.isFinite)).toBe(true);
      expect(gradients[1 + names.indexOf('key_scale')].dataSync()[0]).toBe(0);
      expect(block.layer.forward(x, weights, { options: o }).dataSync().every(Number.isFinite)).toBe(true);
    });
  });

  it('continues a cycle after one period: keys are alike where the past is, values hold what came next', () => {
    tf.tidy(() => {
      const [D, period, T] = [8, 4, 12];
      const o = options({ heads: 1 });
      const weights = {
        w_k: tf.eye(D),
        w_v: tf.eye(D),
        w_o: tf.eye(D),
        leak: tf.tensor1d([0.3]), // what is older counts a twentieth
        key_scale: tf.tensor1d([0.25]),
        val_mix: tf.tensor1d([0]), // the next token alone
        val_scale: tf.tensor1d([0]),
      };
      const ids = Array.from({ length: T }, (_, t) => t % period);
      const x = tf.expandDims(tf.oneHot(tf.tensor1d(ids, 'int32'), D).toFloat(), 0) as tf.Tensor3D;
      const y = tf.argMax(block.layer.forward(x, weights, { options: o }), 2).dataSync();
      for (let t = period; t < T; t++) expect(y[t]).toBe((t + 1) % period);
    });
  });

  it('starts with leaks from 0.5 to 5, stored divided', () => {
    const { leak, key_scale, val_mix, w_o } = block.weights(options({ heads: 4 }), 8);
    const start = (name: string, spec: typeof leak) => Array.from(initialValues(1, name, spec, 4));
    for (const [h, rate] of [0.5, 2, 3.5, 5].entries()) expect(start('leak', leak)[h]).toBeCloseTo(rate / 10, 6);
    expect(start('key_scale', key_scale)).toEqual(Array(4).fill(Math.fround(0.1)));
    for (const mix of start('val_mix', val_mix)) expect(mix).toBeGreaterThanOrEqual(0);
    expect(start('w', w_o)[3]).toBeCloseTo(initialValues(1, 'w', w_o, 1)[3] / 2, 7);
    for (const name of ['leak', 'key_scale', 'val_mix', 'val_scale'])
      expect(block.weights(options(), 8)[name].decay).toBe(false);
  });

  it('names heads that do not divide the width', () => {
    const [problem] = block.rules!(options({ heads: 5 }), 12, 'options');
    expect(problem).toEqual({
      path: 'options.heads',
      message: '5 heads do not divide the width 12',
      hint: 'try 4',
      fix: 4,
    });
  });

  it('turns zeros into zeros of unit length, with a finite slope', () => {
    tf.tidy(() => {
      const slope = tf.grad((u) => tf.sum(unit(u, 1e-10)))(tf.zeros([1, 3]));
      expect(slope.dataSync().every(Number.isFinite)).toBe(true);
      expect(Array.from(unit(tf.tensor2d([3, 4], [1, 2]), 1e-10).dataSync())).toEqual([Math.fround(0.6), Math.fround(0.8)]);
    });
  });
});
