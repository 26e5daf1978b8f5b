// Sums over channels of waves and of reciprocals between all pairs of tokens, without holding [T, T, d] for the gradient.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

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

const WAVES = {
  /** cos(2π φ) */
  cosine: { of: (phase: Tensor) => tf.cos(tf.mul(phase, 2 * Math.PI)), slope: -2 * Math.PI },
  /** sin²(π φ) = (1 − cos(2π φ)) / 2, with all its digits where φ is small */
  dip: { of: (phase: Tensor) => tf.square(tf.sin(tf.mul(phase, Math.PI))), slope: Math.PI },
};

/** turns [n, T, d], turns a step of channel c, to Σ_c wave(turns[n, i, c] · j) as [n, T, T] by row i and column j. */
export function waves(turns: Tensor3D, kind: keyof typeof WAVES): Tensor3D {
  const { of, slope } = WAVES[kind];
  const compute = tf.customGrad((x, save) => {
    const u = x as Tensor3D;
    (save as Save)([u]);
    const [, T, d] = u.shape;
    const times = tf.range(0, T);
    const value = sumOver(d, (c) => of(phases(channel(u, c), times)));
    const gradFunc = (dy: Tensor, [kept]: Tensor[]) => {
      const weighted = tf.mul(dy, tf.mul(tf.range(0, T), slope)); // dy · j · slope
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

/** u, w [n, T, d], positive, to Σ_c 1 / (u[n, i, c] + w[n, j, c]) as [n, T, T] by row i and column j. */
export function reciprocals(u: Tensor3D, w: Tensor3D): Tensor3D {
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
