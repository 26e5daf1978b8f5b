// What shaders make of a device's grants: sums by subgroups and by halves, workgroups by the length of a row, numbers of 16 bits.
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import * as adamw from '../../../kernels/adamw/kernel';
import { plain as plainAdamw } from '../../../kernels/adamw/plain';
import { type Grants, LEAST, lanesFor } from '../../../kernels/core/plan';
import { draw, uniform } from '../../../kernels/core/testing';
import * as crossEntropy from '../../../kernels/cross-entropy/kernel';
import { plain as plainCrossEntropy } from '../../../kernels/cross-entropy/plain';
import * as layerNorm from '../../../kernels/layer-norm/kernel';
import { plain as plainLayerNorm } from '../../../kernels/layer-norm/plain';
import { wayOf } from '../../../kernels/matmul/gpu';
import * as matmul from '../../../kernels/matmul/kernel';
import { plain as plainMatmul } from '../../../kernels/matmul/plain';
import * as reduce from '../../../kernels/reduce/kernel';
import { plain as plainReduce } from '../../../kernels/reduce/plain';
import * as rmsNorm from '../../../kernels/rms-norm/kernel';
import { plain as plainRmsNorm } from '../../../kernels/rms-norm/plain';
import * as softmax from '../../../kernels/softmax/kernel';
import { plain as plainSoftmax } from '../../../kernels/softmax/plain';
import { useDevice } from '../device';
import * as tf from '../tf';
import { grantsOf } from './backend';
import type { FusedBackend } from './dispatch';
import { moduleOf } from './sources';
import { agree, openForTests, run, testable } from './testing';

// Shader compilers get slow when other tests share the machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

/** Rows that one workgroup goes through, long enough for more than 64 lanes. */
const LONG = 8200;

describe.runIf(testable)('sums of a workgroup', () => {
  let backend: FusedBackend;
  let granted: Grants;
  beforeAll(async () => {
    backend = await openForTests();
    granted = backend.grants;
  });
  afterEach(() => {
    backend.grants = granted;
  });

  it.for([true, false])('agree with the plain loops, by subgroups: %s', async (subgroups, { skip }) => {
    skip(subgroups && !granted.subgroups, 'the adapter has no subgroups, as SwiftShader has');
    backend.grants = { ...granted, subgroups };
    for (const [rows, width] of [
      [3, 1],
      [2, 65],
      [1, LONG],
    ]) {
      const shapes = { x: [rows, width], weight: [width] };
      const norm = { shapes, attrs: { epsilon: 1e-2 } };
      // As in fused.test.ts; a sum of 8,200 numbers by 64 lanes or more loses no more digits than one of 130 by one.
      const floor = width === 1 ? 1 : undefined;
      await agree(
        { ...norm, forward: rmsNorm.rmsNorm, gradient: rmsNorm.rmsNormGrad, plain: plainRmsNorm, floor },
        4e-6,
      );
      // A single channel becomes 0 whatever it is.
      if (width > 1)
        await agree(
          { ...norm, forward: layerNorm.layerNorm, gradient: layerNorm.layerNormGrad, plain: plainLayerNorm },
          4e-6,
        );
      const x = draw(rows * width, 3).map((u) => Math.fround(8 * u));
      const rowsOf = { shapes: { x: [rows, width] }, inputs: { x } };
      await agree({ ...rowsOf, forward: softmax.softmaxRows, plain: plainSoftmax }, 4e-6);
      const next = uniform(width);
      const targets = Float64Array.from({ length: rows }, () => Math.floor(next() * width));
      await agree(
        {
          forward: crossEntropy.crossEntropy,
          gradient: crossEntropy.crossEntropyGrad,
          plain: plainCrossEntropy,
          shapes: { logits: [rows, width], targets: [rows] },
          attrs: { labelSmoothing: 0.1 },
          inputs: { targets, logits: x },
          floor: width === 1 ? 10 : undefined,
        },
        4e-6,
      );
      await agree({ forward: adamw.squareSum, plain: plainAdamw, shapes: { x: [rows * width] } }, 1e-6);
      for (const reduction of ['Sum', 'Mean', 'Max']) {
        const attrs = { reduction, outer: rows, inner: 1 };
        const check = { forward: reduce.reduceAxis, plain: plainReduce, shapes: { x: [rows * width] }, attrs };
        await agree({ ...check, inputs: { x } }, 2e-6);
      }
    }
  });
});

describe.runIf(testable)('16-bit floats in products', () => {
  let backend: FusedBackend;
  let granted: Grants;
  beforeAll(async () => {
    backend = await openForTests();
    granted = backend.grants;
  });
  afterEach(() => {
    backend.grants = granted;
  });

  const rounded = { rounded: true };
  const transposes = [
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ];
  it.each([
    [1, 65, 67, 33],
    [3, 130, 34, 16],
  ])('agree with the plain loops: %i of %i × %i over %i, all transposes', async (batch, m, n, k) => {
    backend.grants = { ...granted, half: granted.half ?? 'f32' };
    for (const [transposeA, transposeB] of transposes)
      for (const [batchA, batchB] of [
        [batch, batch],
        [1, batch],
        [batch, 1],
      ]) {
        const a = [batchA, ...(transposeA ? [k, m] : [m, k])];
        const b = [batchB, ...(transposeB ? [n, k] : [k, n])];
        const attrs = { transposeA, transposeB, ...rounded };
        const check = { forward: matmul.product, plain: plainMatmul, shapes: { a, b }, attrs };
        expect(wayOf(matmul.product.ints(check.shapes, attrs), backend.grants)).toBe('halves');
        // Every number is one of bfloat16, which 16-bit floats hold exactly at this range; sums of 33 in float32.
        await agree(check, 2e-6);
      }
    const bias = { a: [1, m, k], b: [1, k, n], bias: [n] };
    const check = { forward: matmul.product, plain: plainMatmul, shapes: bias };
    await agree({ ...check, attrs: { activation: 'relu', ...rounded } }, 2e-6);
  });

  it.each([1e-30, 1e-9, 1e15])('hold panels of any size, such as %f', async (size) => {
    backend.grants = { ...granted, half: granted.half ?? 'f32' };
    const [m, n, k] = [128, 64, 40];
    // Rows of the second panel are that large, and within a panel numbers differ by 10^6.
    const a = draw(m * k, 3).map((u, i) => Math.fround(u * (i >= 64 * k ? size : 1) * 10 ** -(i % 7)));
    const b = draw(k * n, 4);
    const shapes = { a: [1, m, k], b: [1, k, n] };
    const wanted = plainMatmul.MatMulBatch({ a, b }, shapes, rounded).product;
    const { product } = await run(matmul.product, { a, b }, shapes, rounded);
    for (const [from, to] of [
      [0, 64 * n],
      [64 * n, 128 * n],
    ]) {
      const most = Math.max(...wanted.subarray(from, to).map(Math.abs));
      for (let i = from; i < to; i++) expect(Math.abs(product[i] - wanted[i]) / most).toBeLessThan(2e-6);
    }
  });

  it('carry what is not a number, and infinity', async () => {
    backend.grants = { ...granted, half: granted.half ?? 'f32' };
    const a = draw(64 * 16, 3);
    a[5] = Number.NaN;
    a[16 * 16 + 5] = Number.POSITIVE_INFINITY;
    const shapes = { a: [1, 64, 16], b: [1, 16, 64] };
    const { product } = await run(matmul.product, { a, b: draw(16 * 64, 4) }, shapes, rounded);
    for (const row of [0, 16]) expect(Number.isFinite(product[row * 64 + 7])).toBe(false);
  });

  it('are used in tiles under bfloat16 alone, where the device has them', async () => {
    const way = (attrs: object, grants: Grants) =>
      wayOf(matmul.product.ints({ a: [64, 64], b: [64, 64] }, { ...attrs }), grants);
    expect(way({}, { ...LEAST, half: 'f16' })).toBe('tiled');
    expect(way(rounded, { ...LEAST, half: 'f16' })).toBe('halves');
    expect(way(rounded, LEAST)).toBe('pairs');
    const square = async (precision: 'float32' | 'bfloat16') => {
      await useDevice('webgpu', { precision });
      backend.grants = { ...granted, half: granted.half ?? 'f32' };
      return tf.tidy(() => tf.matMul(tf.fill([64, 64], 1.001), tf.ones([64, 64]))).data();
    };
    expect((await square('bfloat16'))[9]).toBe(64);
    expect((await square('float32'))[9]).toBeCloseTo(64.064, 4);
  });
});

describe('grants', () => {
  const limits = { maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupSizeX: 512 } as GPUSupportedLimits;
  const device = (...features: string[]) => grantsOf({ features: new Set(features) as GPUSupportedFeatures, limits });

  it('are what features and limits say', () => {
    expect(device()).toEqual({ subgroups: false, half: undefined, invocations: 512 });
    expect(device('subgroups', 'shader-f16', 'timestamp-query')).toEqual({
      subgroups: true,
      half: 'f16',
      invocations: 512,
    });
  });

  it('give a long row more lanes, as many as the device has', () => {
    const numbers = [1, 2047, 2048, 8200, 32000];
    expect(numbers.map((n) => lanesFor(n, LEAST))).toEqual([64, 64, 128, 256, 256]);
    expect(numbers.map((n) => lanesFor(n, { ...LEAST, invocations: 1024 }))).toEqual([64, 64, 128, 512, 1024]);
    expect(numbers.map((n) => lanesFor(n, { ...LEAST, invocations: 384 }))).toEqual([64, 64, 128, 256, 256]);
  });

  it('choose the text of a module', () => {
    const folder = '../../../kernels/softmax/';
    const least = moduleOf(folder, LEAST);
    expect(least).not.toMatch(/^enable/m);
    expect(least).not.toContain('subgroupAdd');
    expect(least).toContain('alias half = f32;');
    expect(moduleOf(folder, { ...LEAST, half: 'f32' })).toBe(least);
    const most = moduleOf(folder, { ...LEAST, subgroups: true, half: 'f16' });
    expect(most).toMatch(/^enable f16;\nenable subgroups;\n/);
    expect(most).toContain('alias half = f16;');
    expect(most).toContain('subgroupAdd');
    for (const text of [least, most]) expect(text.match(/fn sum_of\(/g)).toHaveLength(1);
  });
});
