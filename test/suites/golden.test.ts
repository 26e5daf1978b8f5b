// Golden cases of all blocks at once: every block that can read a golden config has cases here, and all agree on each device.
import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { blocks, operators } from '../../src-main/blocks';
import { formatParity, parity } from '../../src-main/engine/parity';
import { DEVICES, GOLDEN } from './describe';

it('has cases of every block that reads golden configs', () => {
  const readers = [...blocks.values(), ...operators.values()].filter((one) => one.golden).map((one) => one.id);
  expect(readdirSync(GOLDEN).sort()).toEqual(readers.sort());
});

it.each(DEVICES)('agrees on %s', async (device) => {
  const rows = await parity(GOLDEN, { device });
  const wrong = rows.filter((row) => !row.ok || row.phase === 'unknown');
  expect(wrong, formatParity(rows)).toEqual([]);
  expect(rows.length).toBeGreaterThan(100);
});

it('agrees on the compositions of TF.js ops with native generic kernels', async () => {
  const rows = await parity(GOLDEN, { device: 'cpu', path: 'reference' });
  expect(
    rows.filter((row) => !row.ok),
    formatParity(rows),
  ).toEqual([]);
});
