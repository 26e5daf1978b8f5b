// Contextual memory: golden cases, kernels against compositions, decoding, odd leaks and sharp keys.
import { expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { decoded, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { initialValues } from '../../engine/build';
import { stateBytes } from '../../engine/cost';
import { relativeError } from '../../engine/parity';
import { tf, withReference } from '../../ops';
import { complete } from '../../spec/options';
import { unit } from '../parts/memory_key';
import block from './block';

const options = (given: object = {}) => complete(block.options, given as Record<string, unknown>);
describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', { T: [3, 65], width: 12, options: [{ heads: 3 }, { heads: 1, bias: true }] });

  it('with heads of one channel has signs for keys and values, kernel or not', () => {
    tf.tidy(() => {
      const o = options({ heads: 4 });
      const weights = weightsFor(block, o, 4);
      const x = noise([2, 5, 4], 'x') as tf.Tensor3D;
      const run = () => block.layer.forward(x, { ...weights, w_o: tf.eye(4) }, { options: o });
      const fused = run().dataSync();
      expect(relativeError(fused, withReference(run).dataSync())).toBeLessThan(1e-5);
      // The second token recalls the first one's value alone: a sign times the length of a value.
      const lengths = weights.val_scale.dataSync().map((raw) => Math.exp(10 * raw));
      for (let h = 0; h < 4; h++) expect(Math.abs(fused[4 + h]) / lengths[h]).toBeCloseTo(1, 5);
    });
  });

  it.each([
    [1, 6, 1],
    [2, 6, 3],
    [37, 8, 2],
  ])('decodes to the whole sequence: T %i, width %i, heads %i', (T, width, heads) => {
    tf.tidy(() => {
      const given = prepare(block, { T, width, options: { heads, bias: true } });
      const { y, state } = decoded(block, given.x, given.weights, given.options);
      const whole = block.layer.forward(given.x, given.weights, { options: options({ heads, bias: true }) });
      expect(relativeError(y.dataSync(), whole.dataSync())).toBeLessThan(1e-5);
      const numbers = Object.values(state).reduce((sum, { size }) => sum + size, 0);
      expect(numbers / 2).toBe(width * (2 * T + 1));
      expect(stateBytes(block.state!(options({ heads }), width), T)).toBe((4 * numbers) / 2);
    });
  });

  it('never looks ahead, though each value holds the next token', () => {
    staysCausal(block, { T: 40, width: 8, options: { heads: 2 } });
    staysCausal(block, { T: 5, width: 3, options: { heads: 1 } });
  });

  it('computes in decoding the FLOPs that it says, with the elementwise terms of its spec', async () => {
    const [T, width, heads] = [20, 16, 4];
    const counted = await productFlops(() => {
      const given = prepare(block, { T, width, B: 1, options: { heads } });
      return decoded(block, given.x, given.weights, given.options).y;
    });
    const pairs = (T * (T - 1)) / 2;
    const said = block.cost(options({ heads }), width, T).forwardFlops - 5 * heads * pairs - 12 * width * T;
    expect(Math.abs(counted / said - 1)).toBeLessThan(0.01);
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
      const x = tf.cast(tf.oneHot(tf.tensor2d(ids, [1, T], 'int32'), D), 'float32') as tf.Tensor3D;
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
      expect(Array.from(unit(tf.tensor2d([3, 4], [1, 2]), 1e-10).dataSync())).toEqual([
        Math.fround(0.6),
        Math.fround(0.8),
      ]);
    });
  });
});
