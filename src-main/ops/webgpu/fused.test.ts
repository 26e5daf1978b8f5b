// Every shader of kernels/ against the plain loops on whatever adapter there is, SwiftShader at the least: odd lengths, width one, NaN-filled buffers.
import { beforeAll, describe, expect, it, vi } from 'vitest';
import * as adamw from '../../../kernels/adamw/kernel';
import { plain as plainAdamw } from '../../../kernels/adamw/plain';
import * as attention from '../../../kernels/attention/kernel';
import { plain as plainAttention } from '../../../kernels/attention/plain';
import * as causalConv from '../../../kernels/causal-conv/kernel';
import { plain as plainCausalConv } from '../../../kernels/causal-conv/plain';
import { draw, uniform } from '../../../kernels/core/testing';
import * as crossEntropy from '../../../kernels/cross-entropy/kernel';
import { plain as plainCrossEntropy } from '../../../kernels/cross-entropy/plain';
import * as embedding from '../../../kernels/embedding/kernel';
import { plain as plainEmbedding } from '../../../kernels/embedding/plain';
import * as gatedActivation from '../../../kernels/gated-activation/kernel';
import { plain as plainGatedActivation } from '../../../kernels/gated-activation/plain';
import * as layerNorm from '../../../kernels/layer-norm/kernel';
import { plain as plainLayerNorm } from '../../../kernels/layer-norm/plain';
import * as rmsNorm from '../../../kernels/rms-norm/kernel';
import { plain as plainRmsNorm } from '../../../kernels/rms-norm/plain';
import * as ssdScan from '../../../kernels/ssd-scan/kernel';
import { plain as plainSsdScan } from '../../../kernels/ssd-scan/plain';
import * as tf from '../tf';
import type { FusedBackend } from './dispatch';
import { variablesOf } from './shader';
import { agree, openForTests, run, testable } from './testing';

// Shader compilers get slow when other tests share the machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

describe.runIf(testable)('shaders', () => {
  beforeAll(async () => {
    await openForTests();
  });

  it('RmsNorm, whole, in groups, of a sum and with a gate', async () => {
    const whole = { forward: rmsNorm.rmsNorm, gradient: rmsNorm.rmsNormGrad, plain: plainRmsNorm };
    const added = { forward: rmsNorm.addRmsNorm, gradient: rmsNorm.addRmsNormGrad, plain: plainRmsNorm };
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
      await agree({ ...added, shapes: { ...shapes, y: [rows, width] }, attrs: { epsilon: 1e-2, groups }, floor }, 4e-6);
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

  it.each([
    { causal: true, window: 5 },
    { causal: false, window: 40 },
    { causal: true, strict: true, window: 2 },
    { causal: true, softCap: 2, alibi: true },
  ])('Attention with sinks and %j', async (attrs) => {
    const [B, T, S, H, Hk, d, e] = [1, 66, 70, 6, 3, 8, 4];
    const shapes = { q: [B, T, H, d], k: [B, S, Hk, d], v: [B, S, Hk, e], cos: [S, 2], sin: [S, 2], sinks: [H] };
    const angles = Array.from({ length: 2 * S }, (_, i) => i / 3);
    const inputs = {
      cos: Float64Array.from(angles, (a) => Math.fround(Math.cos(a))),
      sin: Float64Array.from(angles, (a) => Math.fround(Math.sin(a))),
    };
    const kernel = { forward: attention.attention, gradient: attention.attentionGrad, plain: plainAttention };
    const check = { ...kernel, shapes, inputs, attrs: { scale: 0.8, ...attrs } };
    await agree({ ...check, floor: 1 }, 6e-6);
    const { sinks, ...without } = shapes;
    await agree({ ...check, shapes: without, floor: 1 }, 6e-6);
  });

  it('LayerNorm, with a bias and without', async () => {
    const kernel = { forward: layerNorm.layerNorm, gradient: layerNorm.layerNormGrad, plain: plainLayerNorm };
    for (const [rows, width] of [
      [1, 2],
      [3, 65],
      [130, 34],
      [0, 3],
    ]) {
      const shapes = { x: [rows, width], weight: [width] };
      // Sums of at most 130 float32 products; two channels become ±1 whatever they are, so their gradients cancel.
      const check = { ...kernel, shapes, attrs: { epsilon: 1e-2 }, floor: width === 2 ? 1 : undefined };
      await agree(check, 4e-6);
      await agree({ ...check, shapes: { ...shapes, bias: [width] } }, 4e-6);
    }
  });

  it.each(gatedActivation.activations)('Activation %s, and gated, of two tensors and of one', async (activation) => {
    const bare = {
      forward: gatedActivation.activation,
      gradient: gatedActivation.activationGrad,
      plain: plainGatedActivation,
    };
    const two = {
      forward: gatedActivation.gatedActivation,
      gradient: gatedActivation.gatedActivationGrad,
      plain: plainGatedActivation,
    };
    const one = {
      forward: gatedActivation.packedGatedActivation,
      gradient: gatedActivation.packedGatedActivationGrad,
      plain: plainGatedActivation,
    };
    for (const [rows, width] of [
      [1, 1],
      [3, 171],
      [0, 4],
    ]) {
      const gate = draw(rows * width, 5).map((u) => Math.fround(6 * u));
      const shapes = { gate: [rows, width], up: [rows, width] };
      // Elementwise: an exponential and a few roundings, up to numbers of the order of 36; slopes cancel for large inputs.
      await agree({ ...two, shapes, inputs: { gate }, attrs: { activation }, floor: 1 }, 2e-6);
      await agree({ ...one, shapes: { x: [rows, 2 * width] }, attrs: { activation }, floor: 1 }, 2e-6);
      await agree(
        { ...bare, shapes: { x: [rows, width] }, inputs: { x: gate }, attrs: { activation }, floor: 1 },
        2e-6,
      );
    }
  });

  it('CrossEntropy, masked and smoothed', async () => {
    const kernel = {
      forward: crossEntropy.crossEntropy,
      gradient: crossEntropy.crossEntropyGrad,
      plain: plainCrossEntropy,
    };
    for (const [count, classes] of [
      [1, 1],
      [65, 2],
      [70, 257],
      [0, 5],
    ]) {
      const next = uniform(count * 1000 + classes);
      const targets = Float64Array.from({ length: count }, () => Math.floor(next() * classes));
      const logits = draw(count * classes, 3).map((u) => Math.fround(8 * u));
      const shapes = { logits: [count, classes], targets: [count] };
      const floor = classes === 1 ? 10 : undefined; // one class: a logit of up to 8 minus its own log-sum-exp
      for (const labelSmoothing of [0, 0.1]) {
        const check = { ...kernel, shapes, attrs: { labelSmoothing }, inputs: { targets, logits }, floor };
        // Float32 sums of at most 257 exponentials.
        await agree(check, 4e-6);
        const mask = Float64Array.from({ length: count }, (_, r) => (r % 3 === 1 ? 0 : 1));
        const masked = { logits, targets, mask };
        await agree({ ...check, shapes: { ...shapes, mask: [count] }, inputs: masked }, 4e-6);
      }
    }
  });

  it('CrossEntropy takes nothing from masked rows, and makes a graded target out of range a NaN', async () => {
    const logits = draw(8, 3);
    const shapes = { logits: [2, 4], targets: [2], mask: [2] };
    const loss = async (targets: number[], mask: number[], z = logits) => {
      const inputs = { logits: z, targets: Float64Array.from(targets), mask: Float64Array.from(mask) };
      return (await run(crossEntropy.crossEntropy, inputs, shapes, {})).loss[0];
    };
    const wanted = await loss([1, 1], [1, 0]);
    expect(wanted).toBeGreaterThan(0);
    expect(await loss([1, -7], [1, 0], logits.slice().fill(Number.NaN, 4))).toBe(wanted);
    expect(await loss([1, 4], [1, 1])).toBeNaN();
    expect(await loss([1, 1], [0, 0])).toBe(0);
  });

  it('Embedding, its gradient in the order of the places', async () => {
    const kernel = { forward: embedding.embedding, gradient: embedding.embeddingGrad, plain: plainEmbedding };
    for (const [V, D, count] of [
      [1, 1, 1],
      [5, 63, 2],
      [3, 65, 130],
      [257, 3, 600],
      [3, 5, 0],
    ]) {
      const next = uniform(V + D + count);
      const ids = Float64Array.from({ length: count }, () => Math.floor(next() * V));
      // The look-up copies; the gradient adds up to 130 float32 rows.
      await agree({ ...kernel, shapes: { table: [V, D], ids: [count] }, inputs: { ids } }, 2e-6);
    }
    const far = { table: draw(6, 1), ids: Float64Array.of(2, 3, -1) };
    const { y } = await run(embedding.embedding, far, { table: [3, 2], ids: [3] }, {});
    expect([...y]).toEqual([far.table[4], far.table[5], Number.NaN, Number.NaN, Number.NaN, Number.NaN]);
  });

  it('CausalConv, with and without SiLU and bias', async () => {
    const kernel = { forward: causalConv.causalConv, gradient: causalConv.causalConvGrad, plain: plainCausalConv };
    for (const [B, T, C, K] of [
      [1, 1, 1, 1],
      [2, 2, 17, 4],
      [3, 65, 66, 3],
      [0, 5, 3, 4],
    ])
      for (const activation of ['silu', 'none']) {
        const shapes = { x: [B, T, C], weight: [K, C] };
        // A few taps a token; dweight sums up to 195 float32 products.
        await agree({ ...kernel, shapes: { ...shapes, bias: [C] }, attrs: { activation } }, 4e-6);
        await agree({ ...kernel, shapes, attrs: { activation } }, 4e-6);
        await agree({ ...kernel, shapes, attrs: { activation, ahead: K - 1 } }, 4e-6);
        await agree({ ...kernel, shapes, attrs: { activation, ahead: Math.floor(K / 2) } }, 4e-6);
      }
  });

  it.each([1, 65, 4100])('Sgd, AdamW, StoreSound and SquareSum of %i numbers', async (n) => {
    const shapes = { weight: [n], gradient: [n], rate: [1] };
    const sgd = { forward: adamw.sgd, plain: plainAdamw, attrs: { momentum: 0.9, weightDecay: 0.01 } };
    // A handful of float32 operations an element.
    await agree({ ...sgd, shapes }, 1e-6);
    const heavy = { ...sgd, shapes: { ...shapes, buffer: [n], scale: [] } };
    await agree(heavy, 1e-6);
    await agree({ ...heavy, attrs: { ...heavy.attrs, nesterov: true } }, 1e-6);
    const adam = { forward: adamw.adamw, plain: plainAdamw, attrs: { beta1: 0.9, beta2: 0.95, eps: 1e-8 } };
    const moments = { weight: [n], gradient: [n], first: [n], second: [n], rates: [3] };
    const second = draw(n, 4).map((u) => u * u);
    const rates = Float64Array.from(adamw.adamwRates(1e-2, 0.9, 0.95, 0.1, 3), Math.fround);
    // As above, and a root and a division, where a step may be up to sqrt(1 / (1 - 0.95)) times the rate.
    await agree({ ...adam, shapes: moments, inputs: { second, rates } }, 2e-6);
    const scaled = { second, rates, scale: Float64Array.of(0.25) };
    await agree({ ...adam, shapes: { ...moments, scale: [] }, inputs: scaled }, 2e-6);
    const store = { forward: adamw.storeSound, plain: plainAdamw, shapes: { weight: [n], next: [n], scale: [] } };
    for (const scale of [1, Number.NaN, Number.POSITIVE_INFINITY])
      await agree({ ...store, inputs: { scale: Float64Array.of(scale) } }, 0);
    await agree({ forward: adamw.squareSum, plain: plainAdamw, shapes: { x: [n] } }, 1e-6);
  });

  it.each([
    [1, 1, 1, 1, 1, 1, 1, true],
    [2, 33, 4, 5, 2, 3, 1, true],
    [1, 130, 2, 8, 1, 9, 1, false],
    [1, 130, 2, 8, 1, 8, 40, true], // strong decay
    [1, 66, 1, 8, 1, 8, 1e-3, true],
    [1, 70, 3, 130, 1, 33, 1, true],
    [1, 66, 2, 33, 1, 130, 1, true],
    [0, 3, 2, 2, 1, 2, 1, true],
  ])(
    'SsdScan of %i rows, %i tokens, %i heads of width %i, %i groups of state %i, at speed %f, with D and a state: %s',
    async (b, T, H, P, G, N, speed, full) => {
      const shapes = { x: [b, T, H, P], dt: [b, T, H], A: [H], B: [b, T, G, N], C: [b, T, G, N] };
      const inputs = {
        dt: draw(b * T * H, 8).map((u) => Math.fround(speed * (0.255 + 0.245 * u))),
        A: draw(H, 9).map((u) => Math.fround(-1.025 + 0.975 * u)),
      };
      const check = {
        forward: ssdScan.ssdScan,
        gradient: ssdScan.ssdScanGrad,
        plain: plainSsdScan,
        shapes: full ? { ...shapes, D: [H], initialState: [b, H, P, N] } : shapes,
        inputs,
      };
      // Chained products over 64 tokens, 130 channels and the states between chunks, in float32.
      await agree(check, 1e-5);
    },
  );

  it('keeps calls apart where the commands are submitted in the midst of one, leaves nothing behind, and repeats its bits', async () => {
    const batch = tf.env().get('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE') as number;
    const backend = tf.backend() as FusedBackend;
    const gradient = (rows: number, width: number) =>
      tf.tidy(() => {
        const x = tf.tensor(Float32Array.from(draw(rows * width, 1)), [rows, width]);
        const given = { x, weight: tf.ones([width]), rstd: tf.fill([rows, 1], 0.7), dy: x };
        return (tf.engine().runKernel('RmsNormGrad', given) as unknown as tf.Tensor[]).map((one) => tf.keep(one));
      });
    const read = async (tensors: tf.Tensor[]) => {
      const values = await Promise.all(tensors.map((one) => one.data()));
      tf.dispose(tensors);
      return values.map((one) => [...one]);
    };
    const alone = [await read(gradient(70, 5)), await read(gradient(3, 9))];
    const before = [tf.memory().numTensors, backend.numDataIds()];
    try {
      for (const size of [1, 2, 3, 5]) {
        tf.env().set('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE', size);
        const both = [gradient(70, 5), gradient(3, 9)];
        expect([await read(both[0]), await read(both[1])]).toEqual(alone);
      }
    } finally {
      tf.env().set('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE', batch);
    }
    expect([tf.memory().numTensors, backend.numDataIds()]).toEqual(before);
  });
});

describe('variablesOf', () => {
  const source = `
    @group(0) @binding(0) var<uniform> call: Call;
    @group(0) @binding(1) var<storage, read> x: array<f32>; // not y
    @group(0) @binding(2) var<storage, read_write> y: array<f32>;
    @group(0) @binding(3) var<storage, read> z: array<f32>;
    fn deep(i: u32) -> f32 { if (i > 0u) { return 1.0; } return x[i]; }
    fn far(z: u32) -> u32 { var v = z; for (var z: u32 = 0u; z < 2u; z++) { v += z; } return v; }
    fn near(i: u32) -> f32 { return deep(i); } // z
    @compute @workgroup_size(1) fn one(@builtin(workgroup_id) g: vec3<u32>) { y[far(g.z)] = near(g.x); }
    @compute @workgroup_size(1) fn two() { y[0] = z[0]; }`;

  it('gives what an entry point reaches, not what only bears the name', () => {
    expect(variablesOf(source, 'one')).toEqual([
      { name: 'x', binding: 1, writable: false },
      { name: 'y', binding: 2, writable: true },
    ]);
    expect(variablesOf(source, 'two').map(({ name }) => name)).toEqual(['y', 'z']);
    expect(() => variablesOf(source, 'three')).toThrow('no entry point three');
  });
});
