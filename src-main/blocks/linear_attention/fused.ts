// Kernels that may stand in: the features, and the state-space-dual scan, which with steps of 1 and no decay is linear attention.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { eluFeature } from '../../../kernels/elu-feature/kernel';
import { chunk, ssdScan as kernel } from '../../../kernels/ssd-scan/kernel';
import { bind, hasKernel, tf } from '../../ops';
import { chunked, elu1, type Heads } from './reference';

const bound = bind(kernel, {
  replaces: ({ q, k, v }) => ({ y: chunked({ q, k, v } as unknown as Heads, { chunk }) }),
});

const features = bind(eluFeature, { replaces: ({ x }, { scale }) => ({ y: tf.mul(elu1(x!), Number(scale)) }) });

/** u of any shape to scale · (elu(u) + 1). */
export const eluFeatures = (u: Tensor, scale: number): Tensor =>
  // A device without the kernel loses nothing worth telling.
  hasKernel(eluFeature.name) ? features({ x: u }, { scale }).y : tf.mul(elu1(u), scale);

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
