// One golden case of each block on WebGPU, forward, backward and decode. `archlab parity DIR --device webgpu` runs them all.
import { readdirSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { findCases, readCase, runCase } from '../../engine/parity';
import { fallbacks, useDevice } from '..';

const GOLDEN = resolve(import.meta.dirname, '../../../test/golden');
/** Blocks whose every kernel for whole sequences has a shader: none may fall back there, or the case would prove the composition. */
const SHADED = new Set([
  'differential_attention',
  'gated_linear_attention',
  'gla',
  'gta',
  'hydra',
  'mamba2',
  'memory_mosaic',
  'memory_mosaic_persistent',
  'mla',
  'mlstm',
  'mlstm_cell',
  'rwkv4',
  'rwkv7',
  'slstm',
  'softmax_attention',
  'ssd_scan',
]);

const cases = readdirSync(GOLDEN).map((block) => relative(GOLDEN, findCases(`${GOLDEN}/${block}`)[0]));

it.runIf(process.platform === 'linux' && process.arch === 'x64').each(cases)(
  '%s',
  async (file) => {
    process.env.ARCHLAB_SOFTWARE_GPU = '1';
    await useDevice('webgpu');
    const golden = readCase(resolve(GOLDEN, file));
    const before = fallbacks().length;
    const rows = await runCase(golden);
    expect(rows!.length).toBeGreaterThan(5);
    expect(rows!.filter(({ ok }) => !ok)).toEqual([]);
    const fallen = fallbacks().slice(before);
    if (SHADED.has(golden.block)) expect(fallen.filter((one) => !one.startsWith('AttentionDecode'))).toEqual([]);
  },
  // Shader compilers get slow when other tests share the machine.
  300_000,
);
