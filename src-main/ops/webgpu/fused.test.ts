// Every shader of kernels/ against the plain loops on whatever adapter there is, SwiftShader at the least: odd lengths, width one, NaN-filled buffers.
import { beforeAll, describe, expect, it } from 'vitest';
import { type Arrays, type Attrs, type Kernel, type Shapes, sizeOf } from '../../../kernels/core/kernel';
import { type Check, draw, expectAgreementOn } from '../../../kernels/core/testing';
import * as attention from '../../../kernels/attention/kernel';
import { plain as plainAttention } from '../../../kernels/attention/plain';
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

  it.each([
    [1, 1, 1, 1, 1, 2, 1, true, false],
    [2, 33, 33, 4, 2, 20, 20, true, true],
    [1, 3, 66, 3, 1, 8, 40, true, true],
    [1, 35, 5, 2, 2, 3, 2, false, false],
    [1, 2, 3, 1, 1, 130, 260, false, true],
    [0, 3, 3, 2, 1, 4, 4, true, true],
  ])(
    'Attention of %i rows, %i queries, %i keys, %i heads on %i, widths %i and %i, causal %s, rotary %s',
    async (B, T, S, H, Hk, d, e, causal, rotary) => {
      const angle = (_: unknown, i: number) => Math.floor(i / (d / 2)) * 10 ** ((-8 * (i % (d / 2))) / d);
      const angles = Array.from({ length: (S * d) / 2 }, angle);
      const tables = {
        cos: Float64Array.from(angles, (a) => Math.fround(Math.cos(a))),
        sin: Float64Array.from(angles, (a) => Math.fround(Math.sin(a))),
      };
      const rope = { cos: [S, d / 2], sin: [S, d / 2] };
      const check = {
        forward: attention.attention,
        gradient: attention.attentionGrad,
        plain: plainAttention,
        shapes: { q: [B, T, H, d], k: [B, S, Hk, d], v: [B, S, Hk, e], ...(rotary ? rope : {}) },
        attrs: { scale: 1 / Math.sqrt(d), causal },
        inputs: {
          q: draw(B * T * H * d, 1).map((u) => Math.fround(3 * u)),
          k: draw(B * S * Hk * d, 2).map((u) => Math.fround(3 * u)),
          ...(rotary ? tables : {}),
        },
        floor: S === 1 ? 10 : undefined, // one key: the gradients of q and k are sums of products up to 10 that cancel to 0
      };
      // Scores, softmax and sums over at most 66 keys and 260 channels in float32; the gradient chains four such products.
      await agree(check, 6e-6);
    },
  );
});
