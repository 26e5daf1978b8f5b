// The version of the shaders: a comparison with golden cases counts as long as it stays.
import { expect, it } from 'vitest';
import { LEAST } from '../../../kernels/core/plan';
import { describeDevices } from '../device';
import { moduleOf, shaderVersion, versionOf } from './sources';

it('changes with each text and each name, not with their order', () => {
  const version = versionOf({ a: 'one', b: 'two' });
  expect(version).toMatch(/^[0-9a-f]{16}$/);
  expect(versionOf({ b: 'two', a: 'one' })).toBe(version);
  const others: Record<string, string>[] = [
    { a: 'one', b: 'two ' },
    { a: 'onetwo', b: '' },
    { a: 'one', c: 'two' },
    { a: 'one' },
  ];
  for (const other of others) expect(versionOf(other)).not.toBe(version);
});

it('puts what all shaders share before those of a folder', () => {
  const text = moduleOf('../../../kernels/attention/', LEAST);
  expect(text.indexOf('fn ceil_div')).toBeGreaterThan(0);
  expect(text.indexOf('fn forward')).toBeGreaterThan(text.indexOf('fn ceil_div'));
  expect(() => moduleOf('../../../kernels/nothing/', LEAST)).toThrow('has no shader beside it');
});

it.runIf(process.platform === 'linux' && process.arch === 'x64')('is part of the device’s', async () => {
  process.env.ARCHLAB_SOFTWARE_GPU = '1';
  const webgpu = (await describeDevices()).find(({ id }) => id === 'webgpu');
  expect(webgpu?.kernelVersion).toBe(`${shaderVersion}, tfjs 4.22.0`);
});
