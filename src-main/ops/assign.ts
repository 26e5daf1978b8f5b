// New values for variables, written where the old ones lie if nobody else reads them there.
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import type { Attrs } from '../../kernels/core/kernel';
import { type Inputs, runKernel } from './fused';
import { kernels, readName, shapesOf, unfit } from './kernels';
import type { NativeBackend } from './native/backend';
import { nativeBackend } from './native/register';
import * as tf from './tf';

const current = (): NativeBackend | undefined => (tf.getBackend() === 'native' ? nativeBackend() : undefined);

/**
 * Runs a kernel that works in place, as an optimiser's step does: `into` names the variable for each output, which is also the input of that name.
 * @throws if the current device lacks it or it refuses; ask `hasKernel` first where there is another way.
 */
export function update(name: string, inputs: Inputs, attrs: Attrs, into: Readonly<Record<string, Variable>>): void {
  const kernel = kernels.get(name);
  const backend = current();
  if (!kernel || !backend || !kernel.inPlace || !Object.values(into).every((one) => backend.mayOverwrite(one))) {
    const next = runKernel(name, inputs, attrs);
    for (const [output, variable] of Object.entries(into)) {
      variable.assign(next[output]);
      next[output].dispose();
    }
    return;
  }
  const given = shapesOf(inputs);
  const why = unfit(kernel, inputs) ?? kernel.refuses?.(given, attrs);
  if (why) throw new Error(`${name}: ${why}`);
  backend.run(
    name,
    kernel.inputs.map((declared) => inputs[readName(declared).name]),
    Object.keys(kernel.outputs(given, attrs)).map((output) => into[output]),
    kernel.ints(given, attrs),
    kernel.floats?.(attrs),
  );
}

/** Gives a variable the values of a tensor, which stays the caller's. */
export function store(variable: Variable, value: Tensor): void {
  const backend = current();
  if (!backend?.mayOverwrite(variable)) variable.assign(value);
  else backend.run('StridedCopy', [value], [variable], [1, 0, 0, value.size, 1, 1]);
}
