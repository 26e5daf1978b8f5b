// The cpu device without native kernels: it works, and says what it lost.
import { expect, it, vi } from 'vitest';

const why = 'The native kernels are not built; run `npm run native` (it needs a C++ compiler).';
vi.mock('./native/addon', async (original) => ({
  ...(await original<typeof import('./native/addon')>()),
  loadAddon: () => ({ absent: why }),
}));

import { bind, describeDevices, fallbacks, kernels, measurePeak, memoryFacts, tf, useDevice } from '.';

it('computes in JavaScript, with compositions in the place of fused kernels', async () => {
  const facts = await useDevice('cpu');
  expect(facts).toMatchObject({ id: 'cpu', threads: 1, detail: `JavaScript, one thread. ${why}` });
  expect(tf.tidy(() => Array.from(tf.matMul(tf.ones([1, 3]), tf.ones([3, 1])).dataSync()))).toEqual([3]);
  const [kernel] = kernels.values();
  tf.dispose(bind(kernel, { replaces: () => ({ y: tf.ones([1]) }) })({}, {}).y);
  expect(fallbacks()).toEqual([`${kernel.name} runs as a composition of TF.js ops: this device has no such kernel.`]);
  expect(memoryFacts()).toEqual({ tensors: 0, bytes: 0, pooledBytes: 0, arenaBytes: 0 });
  expect(measurePeak(1)).toBeUndefined();
});

it('tells it in the list of devices', async () => {
  const cpu = (await describeDevices()).find(({ id }) => id === 'cpu');
  expect(cpu).toMatchObject({ available: true, detail: expect.stringContaining(why) });
});

it('refuses bfloat16, which only native kernels have', async () => {
  await expect(useDevice('cpu', { precision: 'bfloat16' })).rejects.toThrow(/bfloat16 is there on the cpu device/);
});
