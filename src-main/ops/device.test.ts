// Devices open, say what they are, and compute.
import { expect, it } from 'vitest';
import { describeDevices, testDevice, tf, useDevice } from '.';

it('opens the cpu device and names its instruction set and threads', async () => {
  const facts = await useDevice('cpu', { threads: 2 });
  expect(facts.detail).toMatch(/2 threads|JavaScript/);
  expect(facts.kernelVersion).toMatch(/^[0-9a-f]{16}$|tfjs/);
});

it('describes every device without changing the current one', async () => {
  await useDevice('reference');
  const devices = await describeDevices();
  expect(devices.map(({ id }) => id)).toEqual(['cpu', 'webgpu', 'tensorflow', 'reference']);
  for (const { detail } of devices) expect(detail.length).toBeGreaterThan(5);
  expect(tf.getBackend()).toBe('cpu');
});

it('tests a device by computing on it', async () => {
  const result = await testDevice('cpu');
  expect(result.message).toMatch(/is right to/);
  expect(result.ok).toBe(true);
  expect(result.gflops).toBeGreaterThan(0.1);
});

it('says why a device is not there', async () => {
  const { tensorflow } = Object.fromEntries((await describeDevices()).map((device) => [device.id, device]));
  if (tensorflow.available) return;
  expect(tensorflow.detail).toMatch(/npm install @tensorflow/);
  await expect(useDevice('tensorflow')).rejects.toThrow(/device tensorflow: not installed/);
});
