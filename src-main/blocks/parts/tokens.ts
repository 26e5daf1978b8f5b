// Sequences token by token, and one token late.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { COUNTS, kernels, type Weighs } from '../../../kernels/token-mix/kernel';
import { bind, type Composition, hasKernel, tf } from '../../ops';
import { type Activation, activate } from './activation';

/** u as a list along `axis`, which falls away. TF.js can't differentiate an unstack of one. */
export const alongAxis = (u: Tensor, axis: number): Tensor[] =>
  u.shape[axis] === 1
    ? [
        tf.reshape(
          u,
          u.shape.filter((_, i) => i !== axis),
        ),
      ]
    : tf.unstack(u, axis);

/** x [B, T, D] one token late: zeros before the first. */
export function previous(x: Tensor3D): Tensor3D {
  const [B, T, D] = x.shape;
  const first = tf.zeros([B, 1, D]) as Tensor3D;
  return T === 1 ? first : (tf.concat([first, tf.slice(x, [0, 0, 0], [B, T - 1, D])], 1) as Tensor3D);
}

/**
 * One token of a causal convolution with its activation: rows [B, K-1, C] before it, oldest first (absent with one tap), newest [B, 1, C],
 * weight [K, C], bias [C]; to y [B, 1, C] and the rows before the next token.
 */
export function convolveToken(
  rows: Tensor | undefined,
  newest: Tensor3D,
  weight: Tensor,
  bias?: Tensor,
  activation: Activation = 'silu',
) {
  const [B, , C] = newest.shape;
  const all = rows ? tf.concat([rows, newest], 1) : newest; // [B, K, C]
  const sum = tf.sum(tf.mul(all, weight), 1, true);
  const y = activate(activation, bias ? tf.add(sum, bias) : sum) as Tensor3D;
  return { y, rows: rows && tf.slice(all, [0, 1, 0], [B, rows.shape[1]!, C]) };
}

/** a + (b − a) · share, a channel at a time: `share` [D] is the weight of b. */
export const blend = (a: Tensor3D, b: Tensor3D, share: Tensor): Tensor3D => tf.add(a, tf.mul(tf.sub(b, a), share));

/** x, `before` and shares w0, w1 .. to the blends y0, y1 .. in order. */
const composed: Composition = ({ x, before, ...shares }, { weighs }) => {
  const now = x as Tensor3D;
  const [B, , D] = now.shape;
  const past = before ? (tf.reshape(before, [B, 1, D]) as Tensor3D) : previous(now);
  return Object.fromEntries(
    Object.entries(shares).map(([name, share]) => [
      name.replace('w', 'y'),
      weighs === 'current' ? blend(past, now, share!) : blend(now, past, share!),
    ]),
  );
};
const mixed: ReadonlyMap<number, Composition> = new Map(
  COUNTS.map((count) => [
    count,
    bind(kernels.find(({ name }) => name === `TokenMix${count}`)!, { replaces: composed }),
  ]),
);

/**
 * x [B, T, D] blended with the tokens one before, once for each of up to six shares [D], which weigh what `weighs` says.
 * @param before the token before the first [B, D], for a single token; zeros without it. It gets no gradient.
 */
export function tokenMixes(x: Tensor3D, shares: readonly Tensor[], weighs: Weighs, before?: Tensor): Tensor3D[] {
  if (before && x.shape[1] !== 1) throw new Error(`internal: a token before ${x.shape[1]} tokens`);
  const inputs = { x, before, ...Object.fromEntries(shares.map((share, i) => [`w${i}`, share])) };
  // A device without the kernel loses nothing worth telling.
  const run = hasKernel(`TokenMix${shares.length}`) ? mixed.get(shares.length)! : composed;
  const outputs = run(inputs, { weighs });
  return shares.map((_, i) => outputs[`y${i}`] as Tensor3D);
}
