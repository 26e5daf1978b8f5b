// The last linear map and its cross-entropy on the GPU against the plain loops: whole and in pieces, tied and not, masks and bad targets.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { draw, relativeError, uniform } from '../../../kernels/core/testing';
import { linearCrossEntropy, linearCrossEntropyGrad } from '../../../kernels/linear-cross-entropy/kernel';
import { plain } from '../../../kernels/linear-cross-entropy/plain';
import * as tf from '../tf';
import type { FusedBackend } from './dispatch';
import { lossAndSlopes, rowsAtOnce } from './ops/linear-cross-entropy';
import { agree, openForTests, run, testable } from './testing';

// Shader compilers get slow when other tests share the machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

// Float32 sums of up to some hundred products and exponentials, relative to the largest.
const tolerance = 3e-6;
const kernel = { forward: linearCrossEntropy, gradient: linearCrossEntropyGrad, plain };

function setting(rows: number, D: number, V: number, tied: boolean) {
  const next = uniform(rows * 1000 + V);
  return {
    shapes: { x: [rows, D], w: tied ? [V, D] : [D, V], targets: [rows] },
    inputs: { targets: Float64Array.from({ length: rows }, () => Math.floor(next() * V)) },
    mask: Float64Array.from({ length: rows }, (_, r) => (r % 3 === 1 ? 0 : 1)),
  };
}

describe.runIf(testable)('LinearCrossEntropy', () => {
  let backend: FusedBackend;
  beforeAll(async () => {
    backend = await openForTests();
  });

  it.each([
    [1, 1, 2],
    [2, 5, 63],
    [65, 20, 130],
    [63, 33, 64],
    [3, 2, 2100], // a workgroup of 128 lanes a row
  ])('of %i rows of %i channels and %i classes', async (rows, D, V) => {
    for (const tied of [false, true]) {
      const { shapes, inputs, mask } = setting(rows, D, V, tied);
      const attrs = { tied, labelSmoothing: tied ? 0.1 : 0 };
      await agree({ ...kernel, shapes, inputs, attrs }, tolerance);
      const masked = { ...kernel, shapes: { ...shapes, mask: [rows] }, inputs: { ...inputs, mask }, attrs };
      await agree(masked, tolerance);
    }
  });

  it('in pieces of rows gives what it gives whole, without holding more', async () => {
    expect(rowsAtOnce(50_000)).toBe(320);
    expect(rowsAtOnce(2 ** 25)).toBe(64);
    const [rows, D, V] = [150, 5, 70];
    for (const tied of [false, true]) {
      const { shapes, inputs, mask } = setting(rows, D, V, tied);
      const given = { ...inputs, mask, x: draw(rows * D, 1), w: draw(D * V, 2) };
      const attrs = { tied, labelSmoothing: 0.1 };
      const wanted = plain.LinearCrossEntropy(given, { ...shapes, mask: [rows] }, attrs);
      const tensors = {
        x: tf.tensor(Float32Array.from(given.x), shapes.x),
        w: tf.tensor(Float32Array.from(given.w), shapes.w),
        targets: tf.tensor(Int32Array.from(given.targets), [rows], 'int32'),
        mask: tf.tensor(Float32Array.from(mask), [rows]),
      };
      const before = backend.numDataIds();
      const made = lossAndSlopes(backend, tensors as Record<string, TensorInfo>, attrs, 64 * V); // 64, 64 and 22 rows
      expect(backend.numDataIds() - before).toBe(3);
      const [loss, slopeX, slopeW] = await Promise.all(
        made.map(async ({ dataId }) => Float64Array.from((await backend.read(dataId)) as Float32Array)),
      );
      for (const { dataId } of made) backend.disposeData(dataId);
      tf.dispose(Object.values(tensors));
      for (const [name, value] of Object.entries({ loss, slopeX, slopeW }))
        expect(relativeError(value, wanted[name]), name).toBeLessThanOrEqual(tolerance);
    }
  });

  it('takes nothing from masked rows, and makes a graded target out of range a NaN', async () => {
    const { shapes } = setting(4, 3, 5, true);
    const x = draw(12, 1);
    const loss = async (target: number, graded: number, rows = x) => {
      const inputs = { x: rows, w: draw(15, 2), targets: Float64Array.of(0, target, 1, 2) };
      const masked = { ...inputs, mask: Float64Array.of(1, graded, 1, 1) };
      return run(linearCrossEntropy, masked, { ...shapes, mask: [4] }, { tied: true });
    };
    const wanted = await loss(1, 0);
    expect(wanted.loss[0]).toBeGreaterThan(0);
    expect(await loss(9, 0)).toEqual(wanted);
    expect((await loss(9, 1)).loss[0]).toBeNaN();
    const spoilt = await loss(1, 0, x.slice().fill(Number.NaN, 3, 6));
    expect(spoilt.loss).toEqual(wanted.loss);
    expect([...spoilt.slopeX.slice(3, 6)]).toEqual([0, 0, 0]);
  });
});
