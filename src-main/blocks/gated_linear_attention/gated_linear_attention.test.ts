// Gated linear attention: golden cases, the forms against each other under weak and strong decay, and its neighbours.
import { expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import { chunked as linearAttention } from '../linear_attention/reference';
import block from './block';
import { gatedLinearScan } from './fused';
import { chunked, type Heads, recurrent } from './reference';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);

/** Random heads whose log decays have about the given size. */
const heads = ([b, T, H, Hk, d, e]: number[], strength: number): Heads =>
  ({
    q: noise([b, T, H, d], 'q'),
    k: noise([b, T, Hk, d], 'k'),
    v: noise([b, T, Hk, e], 'v'),
    g: tf.mul(tf.abs(noise([b, T, Hk, d], 'g')), -strength),
  }) as Heads;
/** The output and the gradients of a random weighting of it. */
function results(form: (heads: Heads) => tf.Tensor, { q, k, v, g }: Heads): ArrayLike<number>[] {
  const o = form({ q, k, v, g });
  const scalar = (...[q, k, v, g]: tf.Tensor[]) =>
    tf.sum(tf.mul(form({ q, k, v, g } as unknown as Heads), noise(o.shape, 'do')));
  return [o, ...tf.grads(scalar)([q, k, v, g])].map((t) => t.dataSync());
}

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', {
    T: [1, 2, 35],
    width: 12,
    options: [
      { heads: 3, keyDim: 1, convSize: 3, convBias: true, gateRank: 2 },
      { heads: 4, kvHeads: 2, keyDim: 5, valueDim: 2, gateNormalizer: 1, gateClampMin: -0.5, outputGate: false },
    ],
  });

  it.each([
    [[1, 1, 1, 1, 1, 1], 1],
    [[2, 7, 6, 2, 3, 5], 0.1],
    [[1, 35, 2, 2, 4, 3], 6],
    [[1, 35, 4, 2, 4, 3], 300],
  ])('kernel, chunks and recurrence agree: b, T, H, Hk, d, e %j, log decays about −%d', (size, strength) => {
    tf.tidy(() => {
      const given = heads(size, strength);
      const written = results(recurrent, given);
      // 1e-5: the same float32 products and sums in another order.
      const forms = [gatedLinearScan, ...[1, 8, 16].map((chunk) => (h: Heads) => chunked(h, { chunk }))];
      for (const form of forms)
        for (const [i, value] of results(form, given).entries()) {
          // Gradients of decays that leave nothing are nothing; they are held to one thousandth.
          const floor = Math.max(1e-3, ...Array.from(written[i], Math.abs));
          const off = Math.max(...Array.from(written[i], (due, j) => Math.abs(value[j] - due)));
          expect(off / floor).toBeLessThan(1e-5);
        }
    });
  });

  it.each([
    { width: 8, T: 1, options: { heads: 2 } },
    { width: 12, T: 21, options: { heads: 6, kvHeads: 3, keyDim: 1, valueDim: 5, convSize: 4, gateNormalizer: 1 } },
    { width: 8, T: 37, options: { heads: 2, convSize: 1, outputGate: false, scale: 2 } },
  ])('decodes alike: $options, T $T', (given) => decodesAlike(block, given));

  it('stays causal', () => staysCausal(block, { width: 8, T: 33, options: { heads: 2, convSize: 4 } }));

  it('counts its matrix products, the decays of the keys and the convolution left out', async () => {
    const given = { heads: 4, kvHeads: 2, convSize: 4 };
    const counted = await productFlops(() => {
      const { x, weights, options: o } = prepare(block, { width: 24, T: 32, B: 1, options: given });
      return block.layer.forward(x, weights, { options: o as ReturnType<typeof options> });
    });
    const [Hk, d, e] = [2, 3, 6];
    const elementwise = 32 * (16 * Hk * d + 2 * 4 * (4 * d + Hk * d + Hk * e));
    const said = block.cost(options(given), 24, 32).forwardFlops - elementwise;
    expect(Math.abs(counted / said - 1)).toBeLessThan(0.01);
  });

  it('without decay is linear attention', () => {
    tf.tidy(() => {
      const given = heads([2, 20, 4, 2, 3, 5], 0);
      expect(relativeError(chunked(given).dataSync(), linearAttention(given).dataSync())).toBeLessThan(1e-6);
    });
  });

  it('holds every decay above the clamp', () => {
    tf.tidy(() => {
      const o = options({ heads: 2, gateNormalizer: 1, gateClampMin: -0.25 });
      const weights = { ...weightsFor(block, o, 8), b_gk2: tf.tensor1d([9, -9, 9, -9]) };
      let gates: number[] = [];
      const extra = (_: string, value: tf.Tensor) => {
        gates = Array.from(value.dataSync());
      };
      block.layer.forward(noise([1, 6, 8], 'x') as tf.Tensor3D, weights, { options: o, extra });
      expect(gates).toHaveLength(24);
      for (const [i, g] of gates.entries()) {
        if (i % 2) expect(g).toBe(-0.25);
        else expect(g).toBeGreaterThan(-0.01);
      }
    });
  });

  it.each([
    [{ heads: 6, kvHeads: 4, keyDim: 2 }, 'options.kvHeads: 4 key heads do not divide 6 query heads', 3],
    [{ heads: 16 }, 'options.heads: 16 heads do not divide the width 48, and keyDim 0 asks', 12],
    [{ heads: 5, keyDim: 8 }, 'options.heads: 5 heads do not divide the width 48, and valueDim 0 asks', 4],
  ])('names what does not go together: %j', (given, message, fix) => {
    const [problem, ...rest] = block.rules!(options(given), 48, 'options');
    expect(rest).toEqual([]);
    expect(`${problem.path}: ${problem.message}`).toContain(message);
    expect(problem.fix).toBe(fix);
  });
});
