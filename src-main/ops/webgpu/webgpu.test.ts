// WebGPU in plain Node: the archive reader, and ops with their gradients on whatever adapter there is, SwiftShader at the least.
import { expect, it } from 'vitest';
import * as tf from '../tf';
import { openWebGpu } from '.';
import { readTar } from './swiftshader';

const opens = process.platform === 'linux' && process.arch === 'x64';

it.runIf(opens)('multiplies and differentiates on the GPU as on the CPU', async () => {
  process.env.ARCHLAB_SOFTWARE_GPU = '1';
  const device = await openWebGpu();
  if ('unavailable' in device) throw new Error(device.unavailable);
  const gradient = () =>
    tf.tidy(() => {
      const x = tf.tensor2d([0.5, -1, 2, 3, 0.25, -0.75], [2, 3]);
      return tf.grad((w: tf.Tensor) => tf.sum(tf.square(tf.tanh(tf.matMul(x, w as tf.Tensor2D)))))(
        tf.tensor2d([0.1, 0.2, -0.3, 0.4, 0.5, -0.6], [3, 2]),
      );
    });
  const read = async (tensor: tf.Tensor) => [...(await tensor.data())];
  expect(tf.getBackend()).toBe('webgpu');
  const gpu = await read(gradient());
  await tf.setBackend('cpu');
  const cpu = await read(gradient());
  expect(cpu.some((value) => value !== 0)).toBe(true);
  // Float32 sums of three products and a tanh: a few units in the last place.
  for (const [i, value] of gpu.entries()) expect(value).toBeCloseTo(cpu[i], 5);
});

it.runIf(opens)('sums backwards over axes of different lengths', async () => {
  await openWebGpu();
  for (const length of [4, 3, 7]) {
    const sums = tf.tidy(() => tf.cumsum(tf.ones([2, length]), 1, false, true));
    const row = Array.from({ length }, (_, i) => length - i);
    expect([...(await sums.data())]).toEqual([...row, ...row]);
  }
});

it.runIf(opens)('keeps the digits of ln(1 + a) for small a', async () => {
  await openWebGpu();
  const given = [0, 1e-30, 2e-9, -3e-8, 1e-6, 1e-3, -0.01, 0.3, -0.49, 0.99, 1, -0.9, 3, 1e6].map(Math.fround);
  const found = await tf.tidy(() => tf.log1p(tf.tensor1d(given))).data();
  // 1e-6: WGSL's own logarithm, which serves further out, promises no more than that.
  for (const [i, a] of given.entries())
    expect(Math.abs(found[i] - Math.log1p(a)), `ln(1 + ${a})`).toBeLessThanOrEqual(1e-6 * Math.abs(Math.log1p(a)));
});

it.runIf(opens)('reverses axes of tensors of rank five, without leaving any behind', async () => {
  await openWebGpu();
  const numbers = Float32Array.from({ length: 24 }, (_, i) => i);
  const x = tf.tensor(numbers, [2, 1, 3, 2, 2]);
  const before = tf.memory().numTensors;
  const y = tf.reverse(x, [0, -1]);
  expect(tf.memory().numTensors).toBe(before + 1);
  const at = (i: number) => (i < 12 ? i + 12 : i - 12) + (i % 2 === 0 ? 1 : -1);
  expect([...(await y.data())]).toEqual([...numbers].map((_, i) => at(i)));
});

it('reads the regular files of a tar archive, and refuses a torn one', () => {
  const block = (name: string, data: string, kind = '0') => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write(`${data.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write(kind, 156);
    const body = Buffer.alloc(Math.ceil(data.length / 512) * 512);
    body.write(data);
    return Buffer.concat([header, body]);
  };
  const tar = Buffer.concat([
    block('a.txt', 'one'),
    block('folder/', '', '5'),
    block('b', 'x'.repeat(513)),
    Buffer.alloc(1024),
  ]);
  const files = [...readTar(tar)].map(({ name, data }) => [name, data.length]);
  expect(files).toEqual([
    ['a.txt', 3],
    ['b', 513],
  ]);
  expect(() => [...readTar(tar.subarray(0, 2100))]).toThrow('the archive is damaged at byte');
});
