// One golden case of each block on WebGPU, forward, backward and decode. `archlab parity DIR --device webgpu` runs them all.
import { readdirSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { findCases, readCase, runCase } from '../../engine/parity';
import { fallbacks, useDevice } from '..';

const GOLDEN = resolve(import.meta.dirname, '../../../test/golden');
const cases = readdirSync(GOLDEN).map((block) => relative(GOLDEN, findCases(`${GOLDEN}/${block}`)[0]));

it.runIf(process.platform === 'linux' && process.arch === 'x64').each(cases)(
  '%s',
  async (file) => {
    process.env.ARCHLAB_SOFTWARE_GPU = '1';
    await useDevice('webgpu');
    const golden = readCase(resolve(GOLDEN, file));
    const rows = await runCase(golden);
    expect(rows!.length).toBeGreaterThan(5);
    expect(rows!.filter(({ ok }) => !ok)).toEqual([]);
    // Where a kernel had no shader, the case would prove the composition; so it does of ATLAS, whose kernel computes in doubles.
    expect(fallbacks().filter((one) => !one.startsWith('AtlasMemory'))).toEqual([]);
  },
  // Shader compilers get slow when other tests share the machine.
  300_000,
);
