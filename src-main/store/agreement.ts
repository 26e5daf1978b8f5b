// How blocks agree with their published code, a row for each block and device: the newest test.
import type { Agreement } from '../spec/agreement';
import type { Store } from './open';

type Row = Omit<Agreement, 'ok' | 'worst' | 'failures'> & { ok: number; worst: string | null; failures: string };

export const agreements = (store: Store): Agreement[] =>
  store
    .sql<Row>(
      `SELECT block, device, device_detail AS deviceDetail, kernel_version AS kernelVersion, tested_at AS at, ok, cases, tensors,
         worst, failures FROM agreement ORDER BY block, device`,
    )
    .all()
    .map(({ ok, worst, failures, ...rest }) => ({
      ...rest,
      ok: ok === 1,
      worst: worst === null ? null : (JSON.parse(worst) as Agreement['worst']),
      failures: JSON.parse(failures) as string[],
    }));

export function saveAgreement(store: Store, agreement: Agreement): void {
  const { block, device, deviceDetail, kernelVersion, at, ok, cases, tensors, worst, failures } = agreement;
  store
    .sql(
      `INSERT OR REPLACE INTO agreement (block, device, device_detail, kernel_version, tested_at, ok, cases, tensors, worst, failures)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      block,
      device,
      deviceDetail,
      kernelVersion,
      at,
      ok ? 1 : 0,
      cases,
      tensors,
      worst && JSON.stringify(worst),
      JSON.stringify(failures),
    );
}
