// One block against its golden cases on a device, summed up for its card.
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { DeviceFacts } from '../ops';
import type { Agreement, AgreementProgress } from '../spec/agreement';
import { SpecError } from '../spec/error';
import { findCases, type ParityRow, readCase, runCase } from './parity';

/** Sentences kept of what did not agree. */
const FAILURES = 5;

/** How many golden cases each block has below a folder that holds a folder for each. */
export function countCases(golden: string, blocks: Iterable<string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const block of blocks) {
    const folder = join(golden, block);
    if (existsSync(folder)) counts[block] = findCases(folder).length;
  }
  return counts;
}

/** Sums up the comparisons of one block. */
function agreementOf(block: string, rows: readonly ParityRow[], facts: DeviceFacts, at: number): Agreement {
  let worst: Agreement['worst'] = null;
  let tensors = 0;
  const failures: string[] = [];
  for (const { error, tolerance, tensor, case: name, phase, ok, message } of rows) {
    const place = [name, phase, tensor].filter(Boolean).join(', ');
    if (error !== null && tolerance !== null) {
      tensors += 1;
      const nearer = !worst || error / tolerance > worst.error / worst.tolerance;
      // Infinity has no place in JSON.
      if (nearer) worst = { error: Math.min(error, Number.MAX_VALUE), tolerance, tensor, case: name };
      if (!ok) failures.push(`${place}: ${error.toExponential(1)} is beyond ${tolerance.toExponential(0)}`);
    } else if (!ok) failures.push(`${place}: ${message ?? 'it could not be compared'}`);
  }
  const { id: device, detail: deviceDetail, kernelVersion } = facts;
  return {
    block,
    device,
    deviceDetail,
    kernelVersion,
    at,
    ok: failures.length === 0 && tensors > 0,
    cases: new Set(rows.map((row) => row.case)).size,
    tensors,
    worst,
    failures: failures.slice(0, FAILURES),
  };
}

/**
 * Runs the golden cases of a block on the current device, whose facts are given; `tell` hears of each case before it is computed.
 * @throws SpecError for a block without cases.
 */
export async function agreeBlock(
  golden: string,
  block: string,
  facts: DeviceFacts,
  tell: (progress: AgreementProgress) => void = () => {},
): Promise<Agreement> {
  const files = existsSync(join(golden, block)) ? findCases(join(golden, block)) : [];
  if (files.length === 0)
    throw new SpecError(`there is no golden case of ${block}, so there is nothing to compare with`);
  const rows: ParityRow[] = [];
  for (const [done, file] of files.entries()) {
    const name = basename(file, '.json');
    tell({ block, case: name, done, total: files.length });
    const about = { block, case: name, phase: 'case', tensor: '', error: null, tolerance: null, ok: false } as const;
    try {
      const compared = await runCase(readCase(file));
      rows.push(...(compared ?? [{ ...about, message: `the lab has no block ${block}` }]));
    } catch (error) {
      rows.push({ ...about, message: (error as Error).message });
    }
  }
  return agreementOf(block, rows, facts, Date.now());
}
