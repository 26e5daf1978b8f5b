// A computation whose steps are not kept for the gradient but made again there: less memory for one more forward pass.
import type { NamedTensorMap } from '@tensorflow/tfjs-core/dist/tensor_types';
import { tf } from '../../ops';

type Tensors = Record<string, tf.Tensor>;
interface Call {
  inputs: NamedTensorMap;
  attrs: Record<string, never>;
  forwardFunc(backend: unknown, save: (tensors: tf.Tensor[]) => void): tf.Tensor[];
  backwardsFunc(dys: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]): Record<string, () => tf.Tensor>;
}
interface Engine {
  runKernelFunc(call: Call): tf.Tensor | tf.Tensor[];
  gradients(f: () => tf.Tensor, xs: tf.Tensor[], dy: undefined, allowNone: true): { grads: (tf.Tensor | undefined)[] };
  state: { activeTape: unknown };
}

/**
 * `compute` of the inputs, of which it must make new tensors from nothing else that is differentiated. Only the inputs are kept. A second derivative
 * does not exist.
 */
export function recomputed(inputs: Tensors, compute: (inputs: Tensors) => Tensors): Tensors {
  const engine = tf.engine() as unknown as Engine;
  const names = Object.keys(inputs);
  let outputNames: string[] = [];
  const result = engine.runKernelFunc({
    inputs,
    attrs: {},
    forwardFunc(_, save) {
      const outputs = compute(inputs);
      outputNames = Object.keys(outputs);
      save(names.map((name) => inputs[name]));
      return Object.values(outputs);
    },
    backwardsFunc(dys, kept) {
      const cotangents = [dys].flat();
      const again = () => {
        const outputs = compute(Object.fromEntries(names.map((name, i) => [name, kept[i]])));
        const terms = outputNames.map((name, i) => tf.sum(tf.mul(outputs[name], cotangents[i])));
        return terms.reduce((a, b) => tf.add(a, b));
      };
      // The pass that asks is not recording any more, so TF.js takes this one for the outermost and forgets the tape at its end.
      const { activeTape } = engine.state;
      const { grads } = engine.gradients(again, kept, undefined, true);
      engine.state.activeTape = activeTape;
      return Object.fromEntries(names.map((name, i) => [name, () => grads[i] ?? tf.zerosLike(kept[i])]));
    },
  });
  return Object.fromEntries([result].flat().map((tensor, i) => [outputNames[i], tensor]));
}
