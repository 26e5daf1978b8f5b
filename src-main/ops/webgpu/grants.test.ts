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
import * as reduce from '../../../kernels/reduce/kernel';
import { plain as plainReduce } from '../../../kernels/reduce/plain';
import * as rmsNorm from '../../../kernels/rms-norm/kernel';
import { plain as plainRmsNorm } from '../../../kernels/rms-norm/plain';
import * as softmax from '../../../kernels/softmax/kernel';
import { plain as plainSoftmax } from '../../../kernels/softmax/plain';
import { grantsOf } from './backend';
import type { FusedBackend } from './dispatch';
import { moduleOf } from './sources';
import { agree, openForTests, testable } from './testing';

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

  it('are tested with subgroups here', () => expect(granted.subgroups).toBe(true));

  it.each([true, false])('agree with the plain loops, by subgroups: %s', async (subgroups) => {
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
    const most = moduleOf(folder, { ...LEAST, subgroups: true, half: 'f16' });
    expect(most).toMatch(/^enable f16;\nenable subgroups;\nalias half = f16;\n/);
    expect(most).toContain('subgroupAdd');
    for (const text of [least, most]) expect(text.match(/fn sum_of\(/g)).toHaveLength(1);
  });
});
