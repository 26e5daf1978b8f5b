// Every shader of kernels/ against the plain loops on whatever adapter there is, SwiftShader at the least: odd lengths, width one, NaN-filled buffers.
import { beforeAll, describe, expect, it } from 'vitest';
import { type Arrays, type Attrs, type Kernel, type Shapes, sizeOf } from '../../../kernels/core/kernel';
import { type Check, expectAgreementOn } from '../../../kernels/core/testing';
import * as rmsNorm from '../../../kernels/rms-norm/kernel';
import { plain as plainRmsNorm } from '../../../kernels/rms-norm/plain';
import { dtypeOf, readName } from '../kernels';
import * as tf from '../tf';
import { openWebGpu } from '.';
import type { FusedBackend } from './dispatch';

/** The kernel by way of TF.js, as the lab calls it. */
async function run(kernel: Kernel, inputs: Arrays, shapes: Shapes, attrs: Attrs): Promise<Arrays> {
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

const agree = (check: Check, tolerance: number) => expectAgreementOn('webgpu', run, check, tolerance);

describe.runIf(process.platform === 'linux' && process.arch === 'x64')('shaders', () => {
  beforeAll(async () => {
    process.env.ARCHLAB_SOFTWARE_GPU = '1';
    const device = await openWebGpu();
    if ('unavailable' in device) throw new Error(device.unavailable);
    (tf.backend() as FusedBackend).poison = true;
  });

  it('RmsNorm, whole, in groups and with a gate', async () => {
    const whole = { forward: rmsNorm.rmsNorm, gradient: rmsNorm.rmsNormGrad, plain: plainRmsNorm };
    const gated = { forward: rmsNorm.gatedRmsNorm, gradient: rmsNorm.gatedRmsNormGrad, plain: plainRmsNorm };
    for (const [rows, width, groups] of [
      [1, 1, 1],
      [3, 65, 1],
      [130, 34, 2],
      [0, 3, 1],
    ]) {
      const shapes = { x: [rows, width], weight: [width] };
      // A single channel is normalised to ±1 whatever it is: its gradient is terms of the order of 1 that cancel.
      const floor = width === 1 ? 1 : undefined;
      // Sums of at most 130 float32 products, one exponential and one root.
      await agree({ ...whole, shapes, attrs: { epsilon: 1e-2, groups }, floor }, 4e-6);
      for (const gateFirst of [true, false])
        await agree(
          { ...gated, shapes: { ...shapes, gate: [rows, width] }, attrs: { epsilon: 1e-2, groups, gateFirst }, floor },
          4e-6,
        );
    }
  });
});
