// Whether a process is still the one that we mean: its id alone may have gone to another since.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** When this process began, milliseconds since 1970. */
export const ownStart = Math.round(performance.timeOrigin);

/** True if some living process has this id. */
export function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // No permission to signal it: it is there, and someone else's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return !(process.platform === 'linux' && stat(pid)?.state === 'Z');
}

/** When process `pid` began, milliseconds since 1970, as exactly as the platform tells; null if it does not. */
export function startOf(pid: number): number | null {
  if (process.platform === 'linux') return linuxStart(pid);
  if (process.platform === 'win32') return null;
  try {
    const said = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', timeout: 2000 });
    const at = Date.parse(said.trim());
    return Number.isNaN(at) ? null : at;
  } catch {
    return null;
  }
}

/** Linux counts start times in hundredths of a second since boot, on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

function stat(pid: number): { state: string; startTicks: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold spaces and brackets: what follows the last one is regular.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0], startTicks: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

function linuxStart(pid: number): number | null {
  const ticks = stat(pid)?.startTicks;
  if (ticks === undefined) return null;
  try {
    const boot = /^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1];
    return boot ? Number(boot) * 1000 + (ticks * 1000) / TICKS_PER_SECOND : null;
  } catch {
    return null;
  }
}
