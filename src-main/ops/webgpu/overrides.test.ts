// The shaders that stand in for TF.js's: against plain loops at odd lengths and in all their ways, and by way of TF.js's ops with their gradients.
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { draw } from '../../../kernels/core/testing';
import * as elementwise from '../../../kernels/elementwise/kernel';
import { plain as plainElementwise } from '../../../kernels/elementwise/plain';
import { wayOf } from '../../../kernels/matmul/gpu';
import * as matmul from '../../../kernels/matmul/kernel';
import { plain as plainMatmul } from '../../../kernels/matmul/plain';
import * as reduce from '../../../kernels/reduce/kernel';
import { plain as plainReduce } from '../../../kernels/reduce/plain';
import * as softmax from '../../../kernels/softmax/kernel';
import { plain as plainSoftmax } from '../../../kernels/softmax/plain';
import { useDevice } from '../device';
import * as tf from '../tf';
import { agree, openForTests, testable } from './testing';

// Shader compilers get slow when other tests share the machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

describe.runIf(testable)('shaders in place of those of TF.js', () => {
  beforeAll(async () => {
    await openForTests();
  });

  const transposes = [
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ];
  it.each([
    ['direct', 1, 1, 1, 1],
    ['direct', 2, 3, 5, 7],
    ['direct', 3, 66, 31, 17],
    ['direct', 2, 33, 66, 9],
    ['shared', 1, 1, 33, 131],
    ['shared', 2, 3, 65, 128],
    ['tiled', 1, 65, 67, 33],
    ['tiled', 3, 33, 130, 16],
  ])('MatMulBatch, %s: %i of %i × %i over %i, all transposes', async (way, batch, m, n, k) => {
    for (const [transposeA, transposeB] of transposes)
      for (const [batchA, batchB] of [
        [batch, batch],
        [1, batch],
        [batch, 1],
      ]) {
        const a = [batchA, ...(transposeA ? [k, m] : [m, k])];
        const b = [batchB, ...(transposeB ? [n, k] : [k, n])];
        const attrs = { transposeA, transposeB };
        const check = { forward: matmul.product, plain: plainMatmul, shapes: { a, b }, attrs };
        expect(wayOf(matmul.product.ints(check.shapes, attrs), {})).toBe(way);
        // Float32 sums of at most 131 products.
        await agree(check, 2e-6);
      }
  });

  it.each([
    ['direct', 3, 5, 7],
    ['shared', 3, 65, 131],
    ['pairs', 65, 67, 33],
    ['pairs', 130, 34, 16],
  ])('MatMulBatch of rounded numbers, %s: %i × %i over %i, all transposes', async (way, m, n, k) => {
    for (const [transposeA, transposeB] of transposes) {
      const shapes = { a: [1, ...(transposeA ? [k, m] : [m, k])], b: [1, ...(transposeB ? [n, k] : [k, n])] };
      const attrs = { transposeA, transposeB, rounded: true };
      expect(wayOf(matmul.product.ints(shapes, attrs), {})).toBe(way);
      // The plain form rounds to the same bits: without rounding the error would be some 1e-3.
      await agree({ forward: matmul.product, plain: plainMatmul, shapes, attrs }, 2e-6);
    }
  });

  it('bfloat16 rounds what products read, and only where asked for', async () => {
    const product = async (precision: 'float32' | 'bfloat16') => {
      await useDevice('webgpu', { precision });
      return tf.tidy(() => tf.matMul(tf.fill([1, 1], 1.001), tf.ones([1, 1]))).data();
    };
    expect((await product('bfloat16'))[0]).toBe(1);
    expect((await product('float32'))[0]).toBeCloseTo(1.001, 6);
  });

  it.each(matmul.activations)('MatMulBatch with a bias and %s', async (activation) => {
    for (const [m, n, k] of [
      [5, 6, 3],
      [2, 33, 130],
      [65, 65, 16],
    ]) {
      const shapes = { a: [1, m, k], b: [1, k, n], bias: [n] };
      // As above, with an exponential; small results of a sigmoid or an ELU are differences of numbers near 1.
      await agree({ forward: matmul.product, plain: plainMatmul, shapes, attrs: { activation }, floor: 1 }, 2e-6);
    }
  });

  it.each(reduce.reductions)('ReduceAxis %s', async (reduction) => {
    for (const [outer, n, inner] of [
      [1, 1, 1],
      [3, 5, 7],
      [2, 3, 65],
      [1, 65, 3],
      [3, 517, 1],
      [70, 67, 63],
    ]) {
      const x = draw(outer * n * inner, 3).map((u) => Math.fround(reduction === 'Prod' ? 1 + u / 50 : u));
      const attrs = { reduction, outer, inner };
      const check = { forward: reduce.reduceAxis, plain: plainReduce, shapes: { x: [x.length] }, attrs, inputs: { x } };
      // Sums or products of at most 517 float32 numbers.
      await agree(check, 2e-6);
    }
  });

  it('SoftmaxRows, by one lane and by 64', async () => {
    for (const [rows, width] of [
      [1, 1],
      [65, 31],
      [3, 33],
      [2, 517],
    ]) {
      const x = draw(rows * width, 3).map((u) => Math.fround(9 * u));
      // An exponential of up to 18 and a sum of up to 517.
      await agree(
        { forward: softmax.softmaxRows, plain: plainSoftmax, shapes: { x: [rows, width] }, inputs: { x } },
        4e-6,
      );
    }
  });

  it.each([false, true])('ElementwiseWave, cosine: %s', async (cosine) => {
    const x = Float64Array.from({ length: 2001 }, (_, i) => Math.fround((i - 1000) * (i % 2 ? 0.01 : 3.7)));
    // Rounding of the result and of the last part of a quarter turn.
    await agree(
      { forward: elementwise.wave, plain: plainElementwise, shapes: { x: [2001] }, attrs: { cosine }, inputs: { x } },
      4e-7,
    );
  });

  it('ops and their gradients as on the CPU, also where TF.js keeps the work', async () => {
    const numbers = (shape: number[], seed: number) =>
      tf.tensor(
        Float32Array.from(
          draw(
            shape.reduce((a, b) => a * b),
            seed,
          ),
        ),
        shape,
      );
    const cases: [string, number[][], (...given: tf.Tensor[]) => tf.Tensor][] = [
      ['batches', [[2, 3, 4, 5], [2, 3, 5, 6]], (a, b) => tf.matMul(a, b)], // biome-ignore format: one case a line
      ['one matrix', [[2, 3, 4, 5]], (a) => tf.matMul(a, numbers([5, 6], 7))], // biome-ignore format: one case a line
      ['dense', [[4, 5], [5, 6], [6]], (a, b, bias) => tf.fused.matMul({ a: a as tf.Tensor2D, b: b as tf.Tensor2D, bias, activation: 'relu' })], // biome-ignore format: one case a line
      ['sum', [[2, 3, 4]], (x) => tf.sum(x, [0, 1], true)],
      ['apart', [[2, 3, 4]], (x) => tf.sum(x, [0, 2])],
      ['all', [[2, 3, 4]], (x) => tf.mean(x)],
      ['max', [[2, 3, 4]], (x) => tf.max(x, 1)],
      ['softmax', [[3, 5]], (x) => tf.softmax(x)],
      ['sine', [[7]], (x) => tf.add(tf.sin(x), tf.cos(x))],
    ];
    for (const [name, shapes, op] of cases) {
      const values: number[][] = [];
      for (const device of ['webgpu', 'cpu']) {
        await tf.setBackend(device);
        const given = shapes.map((shape, i) => numbers(shape, i + 1));
        const scalar = (...inputs: tf.Tensor[]) => {
          const y = op(...inputs);
          return tf.sum(tf.mul(y, numbers(y.shape.length ? y.shape : [1], 9)));
        };
        const made = tf.tidy(() => [op(...given), ...tf.grads(scalar)(given)]);
        const read = await Promise.all(made.map(async (one) => [...one.shape, ...(await one.data())]));
        values.push(read.flat());
        tf.dispose([given, made]);
      }
      expect(values[0].length, name).toBe(values[1].length);
      // Sums of at most 24 float32 products.
      for (const [i, value] of values[0].entries()) expect(value, name).toBeCloseTo(values[1][i], 5);
    }
    await tf.setBackend('webgpu');
  });
});
