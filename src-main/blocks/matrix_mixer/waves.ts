// Sums over channels of waves and of reciprocals between all pairs of tokens, without holding [T, T, d]; native kernels where there are some.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { reciprocalSums, waveSums } from '../../../kernels/pair-sums/kernel';
import { bind, tf } from '../../ops';

type Save = (kept: Tensor[]) => void;

/** Channel c of u [n, T, d] as [n, T, 1]. */
const channel = (u: Tensor3D, c: number): Tensor => tf.slice(u, [0, 0, c], [u.shape[0], u.shape[1], 1]);

/** The sum of `term(c)` over the channels 0..d-1; each term's own tensors go with it. */
function sumOver(d: number, term: (c: number) => Tensor): Tensor {
  let sum = tf.tidy(() => term(0));
  for (let c = 1; c < d; c++) {
    const next = tf.tidy(() => tf.add(sum, term(c)));
    sum.dispose();
    sum = next;
  }
  return sum;
}

/** The fraction of x towards zero, by way of whole numbers: exact for |x| < 2^24. */
const fraction = (x: Tensor): Tensor => tf.sub(x, tf.cast(tf.cast(x, 'int32'), 'float32'));

const GRID = 4096;
/**
 * turns [n, T, 1] times 0..T-1, without whole turns, [n, T, T]. Many whole turns cost a float32 product the digits of what is left over; so the
 * multiple of 1/4096 in `turns` is multiplied and reduced first, which is exact, and the small rest added.
 */
function phases(turns: Tensor, times: Tensor): Tensor {
  const part = fraction(turns); // times are whole, so whole turns drop out
  const coarse = tf.div(tf.cast(tf.cast(tf.mul(part, GRID), 'int32'), 'float32'), GRID);
  return tf.add(fraction(tf.mul(coarse, times)), tf.mul(tf.sub(part, coarse), times));
}

/** turns [n, T, d] to Σ_c sin²(π turns[n, i, c] j), [n, T, T]. */
function composedDips(turns: Tensor3D): Tensor3D {
  const compute = tf.customGrad((x, save) => {
    const u = x as Tensor3D;
    (save as Save)([u]);
    const [, T, d] = u.shape;
    const times = tf.range(0, T);
    const value = sumOver(d, (c) => tf.square(tf.sin(tf.mul(phases(channel(u, c), times), Math.PI))));
    const gradFunc = (dy: Tensor, [kept]: Tensor[]) => {
      const weighted = tf.mul(dy, tf.mul(tf.range(0, T), Math.PI)); // dy · j · π
      const turn = (c: number) =>
        tf.tidy(() => {
          const phase = phases(channel(kept as Tensor3D, c), tf.range(0, T));
          return tf.sum(tf.mul(weighted, tf.sin(tf.mul(phase, 2 * Math.PI))), 2, true);
        });
      return tf.concat(
        Array.from({ length: d }, (_, c) => turn(c)),
        2,
      );
    };
    return { value, gradFunc };
  });
  return compute(turns) as Tensor3D;
}

/** u, w [n, T, d], positive, to Σ_c 1 / (u[n, i, c] + w[n, j, c]), [n, T, T]. */
function composedReciprocals(u: Tensor3D, w: Tensor3D): Tensor3D {
  const [, , d] = u.shape;
  const inverse = (rows: Tensor3D, columns: Tensor3D, c: number) =>
    tf.reciprocal(tf.add(channel(rows, c), tf.transpose(channel(columns, c), [0, 2, 1])));
  const compute = tf.customGrad((...given) => {
    const save = given.pop() as unknown as Save;
    const [rows, columns] = given as Tensor3D[];
    save([rows, columns]);
    const gradFunc = (dy: Tensor, kept: Tensor[]) => {
      const [r, k] = kept as Tensor3D[];
      const falls = Array.from({ length: d }, (_, c) =>
        tf.tidy(() => {
          const fall = tf.neg(tf.mul(dy, tf.square(inverse(r, k, c))));
          return [tf.sum(fall, 2, true), tf.transpose(tf.sum(fall, 1, true), [0, 2, 1])];
        }),
      );
      return [0, 1].map((side) =>
        tf.concat(
          falls.map((fall) => fall[side]),
          2,
        ),
      );
    };
    return { value: sumOver(d, (c) => inverse(rows, columns, c)), gradFunc };
  });
  return compute(u, w) as Tensor3D;
}

const boundDips = bind(waveSums, { replaces: ({ turns }) => ({ sums: composedDips(turns as Tensor3D) }) });
const boundReciprocals = bind(reciprocalSums, {
  replaces: ({ rows, columns }) => ({ sums: composedReciprocals(rows as Tensor3D, columns as Tensor3D) }),
});

/** turns [n, T, d], turns a step of channel c, to Σ_c sin²(π turns[n, i, c] j) = Σ_c (1 − cos(2π ·)) / 2, [n, T, T] by row i and column j. */
export const dips = (turns: Tensor3D): Tensor3D => boundDips({ turns }, {}).sums as Tensor3D;

/** u, w [n, T, d], positive, to Σ_c 1 / (u[n, i, c] + w[n, j, c]) as [n, T, T] by row i and column j. */
export const reciprocals = (u: Tensor3D, w: Tensor3D): Tensor3D =>
  boundReciprocals({ rows: u, columns: w }, {}).sums as Tensor3D;
