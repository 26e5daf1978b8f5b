// FLOPs of the matrix products that a block's forward pass really runs, counted from the shapes that TF.js saw.
import type { AnyBlock } from '../../src-main/blocks/define';
import { tf, useDevice } from '../../src-main/ops';
import { noise, weightsFor } from './describe';

const size = (shape: number[]) => shape.reduce((n, d) => n * d, 1);

/** Of one sequence of T tokens, multiply-add = 2, in compositions of TF.js ops; the device is `cpu` again afterwards. */
export async function matrixFlops(block: AnyBlock, options: Record<string, unknown>, width: number, T: number) {
  await useDevice('reference');
  const weights = weightsFor(block, options, width);
  const x = noise([1, T, width], 'x') as tf.Tensor3D;
  const { kernels } = await tf.profile(() => tf.tidy(() => block.layer.forward(x, weights, { options })));
  tf.dispose([x, ...Object.values(weights)]);
  await useDevice('cpu');
  return kernels
    .filter(({ name }) => name === 'BatchMatMul')
    .reduce((sum, { inputShapes: [a, b], outputShapes: [out] }) => {
      const batch = size(out.slice(0, -2));
      // a holds batch·M·K numbers, b batch·K·N, out batch·M·N, whichever is transposed; one of a and b may serve all of the batch.
      const whole = (shape: number[]) => (size(shape.slice(0, -2)) === batch ? size(shape) : size(shape) * batch);
      return sum + 2 * size(out) * Math.sqrt((whole(a) * whole(b)) / size(out) / batch);
    }, 0);
}
