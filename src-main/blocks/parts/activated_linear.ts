// An activation or a gate on its way into a linear map. The map's gradient wants what it read: instead of being kept, that is made again by the
// gradient of the activation, which reads the same numbers.
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import { type Activation, activationAgain, gatedActivationAgain } from '../../../kernels/gated-activation/kernel';
import { hasKernel, isReference, runKernel, tf } from '../../ops';
import { activate, activationKeeps, gate } from './activation';
import { linear } from './linear';

const rowsOf = (x: Tensor): Tensor2D => tf.reshape(x, [-1, x.shape[x.shape.length - 1]]) as Tensor2D;

/** `make(inputs)`·w; `again` takes the inputs and the slope of what `make` gave to the slopes of the inputs and to that itself. */
function through(
  inputs: readonly Tensor[],
  w: Tensor2D,
  make: (inputs: readonly Tensor[]) => Tensor,
  again: (inputs: readonly Tensor[], slope: Tensor) => { slopes: Tensor[]; made: Tensor },
): Tensor {
  const compute = tf.customGrad((...given) => {
    const save = given.pop() as unknown as (tensors: Tensor[]) => void;
    const [w, ...inputs] = given as Tensor[];
    save([w, ...inputs]);
    const gradFunc = (dy: Tensor, [w, ...kept]: Tensor[]) => {
      const rows = rowsOf(dy);
      const slope = tf.reshape(tf.matMul(rows, w as Tensor2D, false, true), kept[0].shape);
      const { slopes, made } = again(kept, slope);
      return [tf.matMul(rowsOf(made), rows, true), ...slopes];
    };
    return { value: linear(make(inputs), w), gradFunc };
  });
  return compute(w, ...inputs);
}

/** act(x)·w, with x [.., F] and w [F, O]. */
export function activatedLinear(activation: Activation, x: Tensor, w: Tensor): Tensor {
  // Where an activation keeps only its result there is nothing to save.
  if (isReference() || activationKeeps(activation) === 0 || !hasKernel(activationAgain.name))
    return linear(activate(activation, x), w);
  return through(
    [x],
    w as Tensor2D,
    ([x]) => activate(activation, x),
    ([x], dy) => {
      const { dx, y } = runKernel(activationAgain.name, { x, dy }, { activation });
      return { slopes: [dx], made: y };
    },
  );
}

/** (act(gate) ⊙ up)·w, with gate and up [.., F] and w [F, O]. */
export function gatedLinear(activation: Activation, open: Tensor, up: Tensor, w: Tensor): Tensor {
  if (isReference() || !hasKernel(gatedActivationAgain.name)) return linear(gate(activation, open, up), w);
  return through(
    [open, up],
    w as Tensor2D,
    ([open, up]) => gate(activation, open, up),
    ([gate, up], dy) => {
      const { dgate, dup, y } = runKernel(gatedActivationAgain.name, { gate, up, dy }, { activation });
      return { slopes: [dgate, dup], made: y };
    },
  );
}
