// The GPU's facts and its probe, on whatever adapter there is.
import { expect, it } from 'vitest';
import { describeDevices, testDevice } from '..';
import { testable } from './testing';

it.runIf(testable)(
  'says what the adapter grants, computes on it, and measures what it could do',
  async () => {
    process.env.ARCHLAB_SOFTWARE_GPU = '1';
    const gpu = (await describeDevices()).find(({ id }) => id === 'webgpu')!.gpu!;
    expect(gpu.name.length).toBeGreaterThan(3);
    expect(gpu.bufferBytes).toBeGreaterThanOrEqual(128 * 2 ** 20); // what every device grants
    expect(gpu.workgroupBytes).toBeGreaterThanOrEqual(16 * 2 ** 10);
    expect(gpu.invocations).toBeGreaterThanOrEqual(256);
    const result = await testDevice('webgpu');
    expect(result.message).toMatch(/is right to .* GFLOP\/s of [\d.]+ between registers; it copies [\d.]+ GB\/s\.$/);
    expect(result.ok).toBe(true);
    expect(result.peakGflops).toBeGreaterThan(0.01);
    expect(result.gigabytesPerSecond).toBeGreaterThan(0.1);
  },
  120_000,
);
