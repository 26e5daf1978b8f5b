// Activations and gates before a linear map: results and gradients of the device's kernels against the composition, all of them and one at a time.
import { describe, expect, it } from 'vitest';
import { BACKWARD, DEVICES, FORWARD, noise } from '../../../test/suites/describe';
import { relativeError } from '../../engine/parity';
import { memoryFacts, poisonBuffers, tf, useDevice, withReference } from '../../ops';
import { activatedLinear, gatedLinear } from './activated_linear';
import { activations } from './activation';

/** Result and gradients of Σ result · weights for the chosen inputs. */
function slopes(run: (...inputs: tf.Tensor[]) => tf.Tensor, inputs: readonly tf.Tensor[], wanted: readonly number[]) {
  const weighted = (...chosen: tf.Tensor[]) => {
    const y = run(...inputs.map((input, i) => chosen[wanted.indexOf(i)] ?? input));
    return tf.sum(tf.mul(y, noise(y.shape, 'cotangent'))) as tf.Scalar;
  };
  return [run(...inputs), ...tf.grads(weighted)(wanted.map((i) => inputs[i]))].map((one) => one.dataSync());
}

describe.each(DEVICES)('on %s', (device) => {
  it.each(activations)('%s agrees with its composition, whichever gradients are wanted', async (activation) => {
    await useDevice(device);
    poisonBuffers(true);
    const before = memoryFacts().tensors;
    for (const [T, F, O] of [[1, 1, 1], [3, 7, 5], [37, 66, 20]]) // biome-ignore format: one line
      tf.tidy(() => {
        const [gate, up] = ['gate', 'up'].map((name) => noise([2, T, F], name));
        const w = noise([F, O], 'w');
        const forms: [(...inputs: tf.Tensor[]) => tf.Tensor, tf.Tensor[]][] = [
          [(...[gate, up, w]) => gatedLinear(activation, gate, up, w), [gate, up, w]],
          [(...[x, w]) => activatedLinear(activation, x, w), [gate, w]],
        ];
        for (const [run, inputs] of forms)
          for (const wanted of [inputs.map((_, i) => i), ...inputs.map((_, i) => [i])]) {
            const got = slopes(run, inputs, wanted);
            const due = withReference(() => slopes(run, inputs, wanted));
            for (const [i, one] of got.entries())
              expect(relativeError(one, due[i])).toBeLessThan(i === 0 ? FORWARD : BACKWARD);
          }
      });
    poisonBuffers(false);
    expect(memoryFacts().tensors).toBe(before);
  });
});
