// The shader of dropout against the plain loops on whatever adapter there is: odd lengths, any first row, places beyond 2^32.
import { beforeAll, expect, it, vi } from 'vitest';
import { type Arrays, type Kernel, type Shapes, sizeOf } from '../../../kernels/core/kernel';
import { draw } from '../../../kernels/core/testing';
import { dropout, dropoutGrad } from '../../../kernels/dropout/kernel';
import { plain } from '../../../kernels/dropout/plain';
import * as tf from '../tf';
import { openWebGpu } from '.';
import type { FusedBackend } from './dispatch';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const attrs = { rate: 0.3, seed: 4_000_000_007, site: 5 };
const onLinux = process.platform === 'linux' && process.arch === 'x64';

beforeAll(async () => {
  if (!onLinux) return;
  process.env.ARCHLAB_SOFTWARE_GPU = '1';
  const device = await openWebGpu();
  if ('unavailable' in device) throw new Error(device.unavailable);
  (tf.backend() as FusedBackend).poison = true;
});

async function run(kernel: Kernel, name: 'x' | 'dy', values: Float64Array, shape: number[], counter: number[]) {
  const given = { [name]: tf.tensor(Float32Array.from(values), shape), counter: tf.tensor1d(counter, 'int32') };
  const [result] = [tf.engine().runKernel(kernel.name, given, attrs)].flat() as tf.Tensor[];
  const found = Float64Array.from(await result.data());
  tf.dispose([Object.values(given), result]);
  return found;
}

it.runIf(onLinux)('draws the masks of the plain loops', async () => {
  for (const [shape, row] of [
    [[1, 1], 0],
    [[3, 1], 5],
    [[2, 63], 1],
    [[5, 65], 3],
    [[2, 1301], 2],
    [[1, 3, 50_001], 40_000],
  ] as [number[], number][]) {
    const counter = [9, row];
    const values = draw(sizeOf(shape), 3);
    const inputs: Arrays = { x: values, dy: values, counter: Float64Array.from(counter) };
    const shapes: Shapes = { x: shape, dy: shape, counter: [2] };
    for (const [kernel, name, out] of [
      [dropout, 'x', 'y'],
      [dropoutGrad, 'dy', 'dx'],
    ] as const) {
      const due = plain[kernel.name](inputs, shapes, attrs)[out];
      const found = await run(kernel, name, values, shape, counter);
      // One rounded product with a rounded factor.
      for (const [i, value] of due.entries())
        expect(Math.abs(found[i] - value)).toBeLessThanOrEqual(2e-7 * Math.abs(value));
    }
  }
});
