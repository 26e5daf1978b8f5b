// The state-space-dual scan may stand in: with steps of 1 and no decay it is linear attention.
import type { Tensor4D } from '@tensorflow/tfjs-core';
import { chunk, ssdScan as kernel } from '../../../kernels/ssd-scan/kernel';
import { bind, hasKernel, tf } from '../../ops';
import { chunked, type Heads } from './reference';

const bound = bind(kernel, {
  replaces: ({ q, k, v }) => ({ y: chunked({ q, k, v } as unknown as Heads, { chunk }) }),
});

/** u [b, T, Hk, d] with each head `share` times, neighbours alike. */
function repeat(u: Tensor4D, share: number): Tensor4D {
  const [b, T, Hk, d] = u.shape;
  const each = tf.mul(tf.reshape(u, [b, T, Hk, 1, d]), tf.ones([share, 1])); // the gradient of a tile ends at rank 4
  return tf.reshape(each, [b, T, Hk * share, d]) as Tensor4D;
}

/** As `chunked` of reference.ts. */
export function attend({ q, k, v }: Heads): Tensor4D {
  const [b, T, H] = q.shape;
  const share = H / k.shape[2];
  // The kernel keeps a state for each query head; the composition shares it, and takes the heads as they are.
  const spread = share > 1 && hasKernel(kernel.name);
  const x = spread ? repeat(v, share) : v;
  const B = spread ? repeat(k, share) : k;
  return bound({ x, dt: tf.ones([b, T, H]), A: tf.zeros([H]), B, C: q, q, k, v }, {}).y as Tensor4D;
}
