// Hydra: golden cases, kernels against compositions, its matrix, both directions, and its rules.
import { expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { prepare, productFlops } from '../../../test/suites/sequence';
import { initialValues } from '../../engine/build';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import { scanFlops } from '../ssd_scan/block';
import block from './block';
import { sizes } from './options';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);

/** The output [B, T, D] and what `extra` gives. */
function look(x: tf.Tensor3D, weights: Record<string, tf.Tensor>, o: ReturnType<typeof options>) {
  const seen: Record<string, tf.Tensor> = {};
  const y = block.layer.forward(x, weights, {
    options: o,
    extra: (name, value) => {
      seen[name] = value;
    },
  });
  return { y, ...(seen as { y_mix: tf.Tensor3D; M: tf.Tensor4D }) };
}

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', {
    T: [1, 2, 67],
    width: 12,
    options: [
      { headDim: 4, dState: 3, groups: 3, dConv: 5 },
      { headDim: 1, expand: 1, dState: 1, dConv: 1, bias: true, convBias: false, dtLimit: [0.2, 1], read: 'own' },
    ],
  });

  it('looks both ways, and each way with the neighbour’s map or its own', () => {
    tf.tidy(() => {
      const given = { headDim: 4, dState: 3, dConv: 1 };
      const weights = weightsFor(block, options(given), 4);
      const x = noise([1, 9, 4], 'x') as tf.Tensor3D;
      for (const read of ['neighbour', 'own'] as const) {
        const o = options({ ...given, read });
        const { y, M } = look(x, weights, o);
        const entries = M.arraySync() as number[][][][];
        for (const head of entries[0])
          for (const [i, row] of head.entries()) for (const [j, m] of row.entries()) if (i !== j) expect(m).not.toBe(0);
        // Moves of a token reach all outputs, before and after it.
        const moved = tf.add(
          x,
          tf.mul(tf.reshape(tf.oneHot(4, 9), [1, 9, 1]), noise([1, 1, 4], 'move')),
        ) as tf.Tensor3D;
        const off = tf.max(tf.abs(tf.sub(block.layer.forward(moved, weights, { options: o }), y)), [0, 2]).dataSync();
        for (const one of off) expect(one).toBeGreaterThan(0);
      }
      const entry = (read: string, i: number, j: number) =>
        tf.slice(look(x, weights, options({ ...given, read })).M, [0, 0, i, j], [1, 2, 1, 1]).dataSync();
      // With one tap the map of token 6 is not that of token 5, so the readings differ off the diagonal and agree on it.
      expect(relativeError(entry('own', 6, 2), entry('neighbour', 6, 2))).toBeGreaterThan(1e-3);
      expect(Array.from(entry('own', 6, 6))).toEqual(Array.from(entry('neighbour', 6, 6)));
    });
  });

  it.each(['neighbour', 'own'])('is the product with its matrix, reading by %s', (read) => {
    tf.tidy(() => {
      const o = options({ headDim: 4, dState: 3, groups: 2, read });
      const weights = weightsFor(block, o, 8);
      const x = noise([2, 11, 8], 'x') as tf.Tensor3D;
      const { y_mix, M } = look(x, weights, o);
      // The values again, from their own columns of the weights.
      const w = tf.slice(weights.w_in, [0, 16], [8, 16]);
      const mixed = tf.reshape(tf.matMul(tf.reshape(x, [22, 8]), w as tf.Tensor2D), [2, 11, 16]);
      const taps = Array.from({ length: 7 }, (_, k) => {
        const shifted = tf.slice(
          tf.pad(mixed, [
            [0, 0],
            [3, 3],
            [0, 0],
          ]),
          [0, k, 0],
          [2, 11, 16],
        );
        return tf.mul(shifted, tf.slice(weights.conv_w, [k, 0], [1, 16]));
      });
      const u = tf.add(tf.addN(taps), tf.slice(weights.conv_b, [0], [16]));
      const v = tf.transpose(tf.reshape(tf.mul(u, tf.sigmoid(u)), [2, 11, 4, 4]), [0, 2, 1, 3]);
      const due = tf.reshape(tf.transpose(tf.matMul(M, v), [0, 2, 1, 3]), [2, 11, 16]);
      // 1e-5: float32 sums over 11 tokens in two orders.
      expect(relativeError(y_mix.dataSync(), due.dataSync())).toBeLessThan(1e-5);
    });
  });

  it('of one token is its diagonal alone', () => {
    tf.tidy(() => {
      const o = options({ headDim: 4, dState: 3 });
      const weights = weightsFor(block, o, 8);
      const { M, y_mix } = look(noise([1, 1, 8], 'x') as tf.Tensor3D, weights, o);
      expect(M.shape).toEqual([1, 4, 1, 1]);
      expect(y_mix.dataSync().every(Number.isFinite)).toBe(true);
    });
  });

  it('counts its matrix products', async () => {
    const given = { headDim: 8, dState: 5, groups: 2, bias: true };
    const size = sizes(options(given), 24);
    const T = 12;
    const counted = await productFlops(() => {
      const { x, weights, options: o } = prepare(block, { width: 24, T, B: 1, options: given });
      return block.layer.forward(x, weights, { options: o as ReturnType<typeof options> });
    });
    const scan = scanFlops(size, T);
    const elementwise = T * (2 * size.K * size.conv + 14 * size.inner) + 2 * (scan.forward - scan.matrices);
    const said = block.cost(options(given), 24, T).forwardFlops - elementwise;
    expect(Math.abs(counted / said - 1)).toBeLessThan(0.01);
  });

  it('starts with decay rates of 1, diagonals of 1 and steps from 0.001 to 0.1', () => {
    const { A_log, D, dt_bias, w_in } = block.weights(options({ headDim: 1 }), 64);
    expect(A_log.init.kind).toBe('zeros');
    expect(D.init.kind).toBe('ones');
    const steps = initialValues(1, 'layers.0.dt_bias', dt_bias, 1).map((b) => Math.log1p(Math.exp(b)));
    expect(Math.min(...steps)).toBeGreaterThan(0.00099);
    expect(Math.max(...steps)).toBeLessThan(0.101);
    expect(w_in.init).toEqual({ kind: 'uniform', bound: 1 / 8 });
    for (const { decay } of [A_log, D, dt_bias]) expect(decay).toBe(false);
  });

  it.each([
    [{ headDim: 64 }, 'options.headDim: heads of 64 channels do not divide the inner width 2 × 48 = 96', 48],
    [{ headDim: 32, groups: 2 }, 'options.groups: 2 groups do not divide the 3 heads', 1],
    [{ headDim: 32, dConv: 4 }, 'options.dConv: a centred convolution wants an odd number of taps, not 4', 5],
  ])('names what does not go together: %j', (given, message, fix) => {
    const [problem, ...rest] = block.rules!(options(given), 48, 'options');
    expect(rest).toEqual([]);
    expect(`${problem.path}: ${problem.message}`).toContain(message);
    expect(problem.fix).toBe(fix);
  });
});
