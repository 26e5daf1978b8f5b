// One golden case of each block on WebGPU, forward, backward and decode. `archlab parity DIR --device webgpu` runs them all;
// here one each has to do, since compiling their shaders takes seconds in software.
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { readCase, runCase } from '../../engine/parity';
import { fallbacks, useDevice } from '..';

const GOLDEN = resolve(import.meta.dirname, '../../../test/golden');

it
  .runIf(process.platform === 'linux' && process.arch === 'x64')
  .each(['ssd_scan/p3_strong_decay', 'softmax_attention/gqa_prope_qknorm', 'mamba2/p2_groups'])(
  '%s',
  async (name) => {
    process.env.ARCHLAB_SOFTWARE_GPU = '1';
    await useDevice('webgpu');
    const rows = await runCase(readCase(`${GOLDEN}/${name}.json`));
    expect(rows!.length).toBeGreaterThan(5);
    expect(rows!.filter(({ ok }) => !ok)).toEqual([]);
    expect(fallbacks()).toEqual([]); // else it proved the compositions, not the shaders
  },
  // Shader compilers get slow when other tests share the machine.
  300_000,
);
