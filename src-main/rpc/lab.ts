// What the methods work on: an open lab and the facts of its host.
import type { OpenRuns } from '../runs/open';
import type { AppInfo, LabNotice } from './contract';

export interface Lab extends Pick<OpenRuns, 'paths' | 'store' | 'supervisor'> {
  host: AppInfo['host'];
  version: string;
  /** The built script that devices and blocks are tested in. */
  probe: () => string;
  /** The built script that writes texts. */
  generator: () => string;
  /** The folder with the golden cases of each block. */
  golden: () => string;
  /** Aborted when the lab closes. */
  closing: AbortSignal;
  tell(notice: LabNotice): void;
  now(): number;
}
