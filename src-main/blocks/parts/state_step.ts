// One token of a linear recurrence whose state is a matrix: changed where it lies while the lab decodes, else made anew.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { outerStep as kernel } from '../../../kernels/state-step/kernel';
import { bind, type Composition, isReference, overwrite, tf } from '../../ops';
import type { StepContext } from '../define';

/** A call whose input and output `s` are a state: in its place if the decoding around keeps it in memory of its own. `run` is the kernel's binding. */
export function changeState<Inputs extends Record<string, Tensor | undefined> & { s: Tensor }>(
  context: Pick<StepContext<unknown>, 'decoding'>,
  name: string,
  run: Composition,
  inputs: Inputs,
  attrs: Parameters<Composition>[1] = {},
): Record<string, Tensor> {
  const there = context.decoding && !isReference() && overwrite(name, inputs, attrs, { s: inputs.s });
  return there || run(inputs, attrs);
}

/** Inputs of `outerStep`: state s [B, G, d, e], q [B, H, d], k [B, G, d], v [B, G, e], and keep [B, G, d], [B, G, 1] or absent (1). */
export interface OuterInputs {
  s: Tensor;
  q: Tensor;
  k: Tensor;
  v: Tensor;
  keep?: Tensor;
}
/** y [B, H, e] and the state after the token. */
export interface OuterOutputs {
  y: Tensor3D;
  s: Tensor4D;
}

/** s = keep · s + k vᵀ and y = qᵀ s, out of TF.js ops. */
export function outerByOps({ s, q, k, v, keep }: OuterInputs): OuterOutputs {
  const [B, G, d, e] = s.shape as [number, number, number, number];
  const H = q.shape[1]!;
  const kept = keep ? tf.mul(s, tf.expandDims(keep, 3)) : s;
  const next = tf.add(kept, tf.mul(tf.expandDims(k, 3), tf.expandDims(v, 2))) as Tensor4D;
  const rows = tf.reshape(q, [B * G, H / G, d]);
  const y = tf.reshape(tf.matMul(rows, tf.reshape(next, [B * G, d, e])), [B, H, e]) as Tensor3D;
  return { y, s: next };
}

const outer = bind(kernel, { replaces: (inputs) => ({ ...outerByOps(inputs as unknown as OuterInputs) }) });

/** The same in one pass over the state. */
export const outerStep = (context: Pick<StepContext<unknown>, 'decoding'>, inputs: OuterInputs): OuterOutputs =>
  changeState(context, 'OuterStep', outer, { ...inputs }) as unknown as OuterOutputs;
