// For tests of shaders: opens whatever adapter there is, SwiftShader at the least, and compares kernels on it with the plain loops.
import { expect } from 'vitest';
import { type Arrays, type Attrs, type Kernel, type Shapes, sizeOf } from '../../../kernels/core/kernel';
import { type Check, expectAgreementOn } from '../../../kernels/core/testing';
import { dtypeOf, readName } from '../kernels';
import * as tf from '../tf';
import { openWebGpu } from '.';
import type { FusedBackend } from './dispatch';

/** Whether SwiftShader runs here. */
export const testable = process.platform === 'linux' && process.arch === 'x64';

/** Makes the device current, its fresh tensors full of NaN. */
export async function openForTests(): Promise<FusedBackend> {
  process.env.ARCHLAB_SOFTWARE_GPU = '1';
  const device = await openWebGpu();
  if ('unavailable' in device) throw new Error(device.unavailable);
  const backend = tf.backend() as FusedBackend;
  backend.poison = true;
  return backend;
}

/** The kernel by way of TF.js, as the lab calls it. */
export async function run(kernel: Kernel, inputs: Arrays, shapes: Shapes, attrs: Attrs): Promise<Arrays> {
  const given = Object.fromEntries(
    kernel.inputs.flatMap((declared) => {
      const { name } = readName(declared);
      const value = inputs[name];
      if (!value) return [];
      const dtype = dtypeOf(kernel, name);
      const typed = dtype === 'int32' ? Int32Array.from(value) : Float32Array.from(value);
      return [[name, tf.tensor(typed, [...shapes[name]], dtype)]];
    }),
  );
  const results = [tf.engine().runKernel(kernel.name, given, attrs as tf.NamedAttrMap)].flat() as tf.Tensor[];
  const names = Object.entries(kernel.outputs(shapes, attrs));
  const out: Arrays = {};
  for (const [i, [name, shape]] of names.entries()) {
    out[name] = Float64Array.from(await results[i].data());
    expect(out[name].length).toBe(sizeOf(shape));
  }
  tf.dispose([Object.values(given), results]);
  return out;
}

export const agree = (check: Check, tolerance: number) => expectAgreementOn('webgpu', run, check, tolerance);
