// GRU: output, gradient and state against a plain loop in float64, decoding, starting values and rules.
import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { countsItsProducts, decoded, decodesAlike, prepare, staysCausal } from '../../../test/suites/sequence';
import { initialValues } from '../../engine/build';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import block from './block';

type Numbers = Record<string, ArrayLike<number>>;
const sigmoid = (u: number) => 1 / (1 + Math.exp(-u));

/** One sequence x [T, D], token by token in float64, gates r, z, n; outputs [T, D or h] and the last state. */
function plain({ x, w_x, w_h, b_x, b_h, w_o }: Numbers, T: number, D: number, H: number) {
  let h = new Array<number>(H).fill(0);
  const y: number[] = [];
  for (let t = 0; t < T; t++) {
    const product = (
      from: (i: number) => number,
      size: number,
      w: ArrayLike<number>,
      b: ArrayLike<number> | undefined,
    ) =>
      Array.from({ length: 3 * H }, (_, column) => {
        let sum = b?.[column] ?? 0;
        for (let i = 0; i < size; i++) sum += from(i) * w[i * 3 * H + column];
        return sum;
      });
    const input = product((i) => x[t * D + i], D, w_x, b_x);
    const state = product((i) => h[i], H, w_h, b_h);
    h = h.map((old, j) => {
      const reset = sigmoid(input[j] + state[j]);
      const keep = sigmoid(input[H + j] + state[H + j]);
      return (1 - keep) * Math.tanh(input[2 * H + j] + reset * state[2 * H + j]) + keep * old;
    });
    if (!w_o) y.push(...h);
    else for (let j = 0; j < D; j++) y.push(h.reduce((sum, value, i) => sum + value * w_o[i * D + j], 0));
  }
  return { y, h };
}

const cases = [
  { T: 1, width: 3, options: { hidden: 2 } },
  { T: 9, width: 4, options: { hidden: 5, bias: false } },
  { T: 7, width: 1, options: { project: false } },
];

describeBlock(block, ({ it }) => {
  it.each(cases)('is its equation, forward, backward and in decoding: $T tokens, $width wide, $options', (given) => {
    tf.tidy(() => {
      const { T, width: D } = given;
      const { options, weights, x } = prepare(block, { ...given, B: 1 });
      const H = weights.w_h.shape[0];
      const tensors: Record<string, tf.Tensor> = { x, ...weights };
      const names = Object.keys(tensors);
      const numbers: Numbers = Object.fromEntries(names.map((name) => [name, Array.from(tensors[name].dataSync())]));
      const due = plain(numbers, T, D, H);
      const o = complete(block.options, options);
      const y = block.layer.forward(x, weights, { options: o });
      // 1e-5: float32 sums of a dozen terms, over a few tokens.
      expect(relativeError(y.dataSync(), due.y)).toBeLessThan(1e-5);
      const { y: stepped, state } = decoded(block, x, weights, options);
      expect(relativeError(stepped.dataSync(), due.y)).toBeLessThan(1e-5);
      expect(relativeError(state.h.dataSync(), due.h)).toBeLessThan(1e-5);

      // The slope of Σ sin(n) y[n] against differences of the float64 loop: off by the square of the step, 1e-10, and by 1e-16 / 1e-5.
      const share = due.y.map((_, n) => Math.sin(n + 1));
      const loss = (given: Numbers) => plain(given, T, D, H).y.reduce((sum, value, n) => sum + share[n] * value, 0);
      const gradients = tf.grads((...all: tf.Tensor[]) => {
        const own = Object.fromEntries(names.map((name, i) => [name, all[i]]));
        const out = block.layer.forward(own.x as tf.Tensor3D, own, { options: o });
        return tf.sum(tf.mul(out, tf.tensor(share, out.shape)));
      })(names.map((name) => tensors[name]));
      for (const [i, name] of names.entries()) {
        const slopes = Array.from(numbers[name], (_, n) => {
          const moved = (by: number) =>
            loss({ ...numbers, [name]: Array.from(numbers[name], (u, m) => (m === n ? u + by : u)) });
          return (moved(1e-5) - moved(-1e-5)) / 2e-5;
        });
        expect(relativeError(gradients[i].dataSync(), slopes), name).toBeLessThan(1e-4);
      }
    });
  });

  it('decodes alike, never looks ahead, and computes the products that it says', async () => {
    for (const one of cases) decodesAlike(block, { ...one, B: 3 });
    staysCausal(block, { T: 20, width: 6 });
    await countsItsProducts(block, { T: 5, width: 12, options: { hidden: 20 } });
    await countsItsProducts(block, { T: 5, width: 12, options: { project: false } });
  });

  it('stays finite when every gate is wide open or shut', () => {
    tf.tidy(() => {
      const { options, weights, x } = prepare(block, { T: 6, width: 4 });
      const o = complete(block.options, options);
      const far = tf.mul(x, 1e4) as tf.Tensor3D;
      const { value, grad } = tf.valueAndGrad((u) =>
        tf.sum(block.layer.forward(u as tf.Tensor3D, weights, { options: o })),
      )(far);
      expect(Number.isFinite(value.dataSync()[0])).toBe(true);
      expect(grad.dataSync().every(Number.isFinite)).toBe(true);
    });
  });

  it('starts as PyTorch does', () => {
    const { w_x, w_h, b_x, b_h, w_o } = block.weights(complete(block.options), 16);
    for (const spec of [w_x, w_h, b_x, b_h]) {
      const values = initialValues(1, 'w', spec, 4);
      expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(0.25);
      expect(Math.max(...values)).toBeGreaterThan(0.15);
    }
    expect(initialValues(1, 'w', w_o, 4)[3]).toBeCloseTo(initialValues(1, 'w', w_o, 1)[3] / 2, 7);
  });

  it('names a state that does not fit', () => {
    const problems = (given: object) => block.rules!(complete(block.options, given as never), 8, 'options');
    expect(problems({ hidden: 4, project: false })).toEqual([
      {
        path: 'options.hidden',
        message: 'a state of 4 channels does not fit the width 8 without a projection',
        hint: 'try 0, or set project to true',
        fix: 0,
      },
    ]);
    expect(problems({ hidden: 8, project: false })).toEqual([]);
    expect(problems({ hidden: 4 })).toEqual([]);
  });
});
