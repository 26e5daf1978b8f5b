// What the methods work on: an open lab and the facts of its host.
import type { OpenRuns } from '../runs/open';
import type { AppInfo, Notice } from './contract';

export interface Lab extends Pick<OpenRuns, 'paths' | 'store' | 'supervisor'> {
  host: AppInfo['host'];
  version: string;
  /** The built script that devices are tested in. */
  probe: () => string;
  tell(notice: Notice): void;
  now(): number;
}
