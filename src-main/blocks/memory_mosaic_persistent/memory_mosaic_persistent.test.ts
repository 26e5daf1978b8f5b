// Persistent memory: golden cases, kernels against compositions, decoding, its sizes and its float64 equation.
import { expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { decoded, decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { initialValues } from '../../engine/build';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import block from './block';

const options = (given: object = {}) => complete(block.options, given as Record<string, unknown>);

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', {
    T: [1, 7, 65],
    width: 6,
    options: [
      { heads: 3, slots: 5, memories: 2, bias: true },
      { heads: 6, slots: 1 },
    ],
  });

  it('is its equation, summed in float64 token by token', () => {
    tf.tidy(() => {
      const [T, D, H, d, N, P] = [5, 6, 2, 3, 4, 3];
      const o = options({ heads: H, slots: N, memories: P });
      const weights = weightsFor(block, o, D);
      const x = noise([1, T, D], 'x') as tf.Tensor3D;
      const plain = Object.fromEntries(Object.entries(weights).map(([name, w]) => [name, w.dataSync()]));
      const at = x.dataSync();
      const sums = new Float64Array(D);
      const due: number[] = [];
      for (let t = 0; t < T; t++) {
        const mixed = new Float64Array(D);
        for (let h = 0; h < H; h++) {
          const keep = Math.exp(-10 * Math.abs(plain.leak[h]));
          for (let c = h * d; c < (h + 1) * d; c++) {
            sums[c] *= keep;
            for (let i = 0; i < D; i++) sums[c] += at[t * D + i] * plain.w_k[i * D + c];
          }
          const own = sums.subarray(h * d, (h + 1) * d);
          const length = Math.exp(20 * plain.key_scale[h]) / (Math.hypot(...own) + 1e-10);
          for (let p = 0; p < P; p++) {
            const stored = (n: number) => ((p * H + h) * N + n) * d;
            const scores = Array.from({ length: N }, (_, n) =>
              Math.exp(own.reduce((sum, a, c) => sum + length * a * plain.mem_k[stored(n) + c], 0)),
            );
            const total = scores.reduce((a, b) => a + b);
            for (let n = 0; n < N; n++)
              for (let c = 0; c < d; c++)
                mixed[h * d + c] +=
                  ((Math.exp(10 * plain.out_scale[h]) / P) * scores[n] * plain.mem_v[stored(n) + c]) / total;
          }
        }
        for (let j = 0; j < D; j++) due.push(mixed.reduce((sum, m, i) => sum + m * plain.w_o[i * D + j], 0));
      }
      // 1e-5: float32 sums of a few dozen terms.
      expect(relativeError(block.layer.forward(x, weights, { options: o }).dataSync(), due)).toBeLessThan(1e-5);
    });
  });

  it('decodes to the whole sequence from a state of one size, and never looks ahead', () => {
    const o = { heads: 2, slots: 3, memories: 2 };
    for (const T of [1, 33]) decodesAlike(block, { T, width: 4, options: o });
    staysCausal(block, { T: 9, width: 4, options: o });
  });

  it('computes in decoding the FLOPs that it says, with the elementwise terms of its spec', async () => {
    const [T, width, H, N, P] = [5, 12, 3, 20, 2];
    const o = { heads: H, slots: N, memories: P };
    const counted = await productFlops(() => {
      const given = prepare(block, { T, width, B: 1, options: o });
      return decoded(block, given.x, given.weights, given.options).y;
    });
    const said = block.cost(options(o), width, T).forwardFlops - T * (5 * H * N * P + 8 * width);
    expect(Math.abs(counted / said - 1)).toBeLessThan(0.01);
  });

  it('stores by default as many weights as an MLP of four times the width has', () => {
    const numbers = Object.entries(block.weights(options(), 64))
      .filter(([, { shape }]) => shape.length > 1)
      .reduce((sum, [, { shape }]) => sum + shape.reduce((a, b) => a * b), 0);
    expect(numbers).toBe(8 * 64 * 64);
    const { mem_k } = block.weights(options({ heads: 4 }), 64);
    const drawn = initialValues(1, 'mem_k', mem_k, 1);
    const std = Math.sqrt(drawn.reduce((sum, v) => sum + v * v, 0) / drawn.length);
    expect(std * 4).toBeCloseTo(1, 1); // 1 / sqrt of 16 channels
  });
});
