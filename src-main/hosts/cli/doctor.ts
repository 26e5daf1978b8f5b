// archlab doctor: what this machine offers the lab, each device proved by a computation, and where things lie.
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { devices as devicesRpc } from '../../rpc/devices';
import type { Lab } from '../../rpc/lab';
import { labFolder } from '../../runs/folder';
import { builtScript } from '../../runs/worker';
import type { GpuFacts } from '../../spec/device';
import { answer, answerJson, type ExitCode } from './command';
import { bytes } from './format';
import { VERSION } from './version';

interface Facts {
  version: string;
  node: string;
  platform: string;
  processor: string;
  cores: number;
  memory: string;
  folder: string;
  diskFree: string;
  electron: string;
  browser: string;
  devices: { id: string; title: string; ok: boolean; detail: string; gpu?: GpuFacts; test: string | null }[];
}

/** Exit code 1 if no device computes rightly. */
export async function doctor({ folder, json }: { folder?: string; json?: boolean }): Promise<ExitCode> {
  const facts = await examine(labFolder(folder));
  if (json) answerJson(facts);
  else answer(report(facts));
  return facts.devices.some(({ ok }) => ok) ? 0 : 1;
}

async function examine(folder: string): Promise<Facts> {
  const devices: Facts['devices'] = [];
  // In a process of their own, as the window looks at them: a driver that crashes is a finding, not the end.
  const probe: Partial<Lab> = { probe: () => builtScript('probe.js'), now: Date.now };
  const { list, test: compute } = devicesRpc(probe as Lab);
  for (const { id, title, available, detail, gpu } of await list({})) {
    const test = available ? await compute({ id }) : null;
    devices.push({ id, title, ok: test?.ok ?? false, detail, gpu, test: test?.message ?? null });
  }
  return {
    version: VERSION,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory: `${bytes(totalmem())}, ${bytes(freemem())} free`,
    folder: existsSync(folder) ? folder : `${folder} (not made yet)`,
    diskFree: diskFree(folder),
    electron: electron(),
    browser: browser(),
    devices,
  };
}

function report({ devices, ...facts }: Facts): string {
  const lines = Object.entries({
    Archlab: facts.version,
    Node: `${facts.node} on ${facts.platform}`,
    Processor: `${facts.processor}, ${facts.cores} cores`,
    Memory: facts.memory,
    'Lab folder': facts.folder,
    'Disk free': facts.diskFree,
    Electron: facts.electron,
    Browser: facts.browser,
  }).map(([name, value]) => `${name.padEnd(12)}${value}`);
  const shown = devices.map(({ id, ok, detail, gpu, test }) => {
    const state = ok ? 'ok  ' : test === null ? 'none' : 'FAIL';
    const lines = [detail, ...(gpu ? [adapter(gpu)] : []), ...(test ? [test] : [])];
    return `  ${state}  ${id.padEnd(12)}${lines.join(`\n${' '.repeat(20)}`)}`;
  });
  return [...lines, '', 'Devices, each tested by a matrix product:', ...shown].join('\n');
}

function adapter({
  name,
  vendor,
  f16,
  subgroups,
  bufferBytes,
  workgroupBytes,
  invocations,
  storageBuffers,
}: GpuFacts): string {
  const lanes = subgroups ? `subgroups of ${subgroups.join(' to ')} lanes` : 'no subgroups';
  return [
    `${name} (${vendor})`,
    f16 ? '16-bit floats' : 'no 16-bit floats',
    lanes,
    `tensors up to ${bytes(bufferBytes)}`,
    `${bytes(workgroupBytes)} and ${invocations} lanes a workgroup`,
    `${storageBuffers} buffers a shader`,
  ].join('; ');
}

/** Free bytes where the folder is or will be. */
function diskFree(folder: string): string {
  let at = folder;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  const { bavail, bsize } = statfsSync(at);
  return bytes(bavail * bsize);
}

/** Where the desktop window's program is, or that it is missing. */
function electron(): string {
  if (process.versions.electron) return process.versions.electron;
  try {
    const root = dirname(createRequire(import.meta.url).resolve('electron/package.json'));
    const path = join(root, 'dist', readFileSync(join(root, 'path.txt'), 'utf8'));
    if (existsSync(path)) return path;
  } catch {
    // Not installed, or its binary was never fetched: said below.
  }
  return 'no binary here; npm start fetches it, or serves the lab to a browser';
}

const BROWSERS = ['xdg-open', 'google-chrome', 'chromium', 'chromium-browser', 'firefox'];

/** What would show the served lab. */
function browser(): string {
  if (process.platform !== 'linux') return "the system's own";
  const folders = (process.env.PATH ?? '').split(delimiter);
  const found = BROWSERS.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) =>
    existsSync(path),
  );
  return found ?? 'none found; open the printed address on a machine that has one';
}
