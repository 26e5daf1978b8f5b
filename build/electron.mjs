// Finds Electron's binary, fetches it once through Electron's own installer, and says why the window can't open here.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { at, env, node, say } from './ensure.mjs';

const DOWNLOAD_SECONDS = 180;
const DAY_MS = 24 * 3600 * 1000;
const failureFile = at('out', 'electron-failed.json');

/** Path of Electron's executable, or undefined if it is not on this machine. */
export function electronBinary() {
  const record = at('node_modules', 'electron', 'path.txt');
  const name = existsSync(record)
    ? readFileSync(record, 'utf8')
    : process.platform === 'win32'
      ? 'electron.exe'
      : 'electron';
  const folder = process.env.ELECTRON_OVERRIDE_DIST_PATH;
  const path = folder ? `${folder}/${name}` : at('node_modules', 'electron', 'dist', name);
  return (folder || existsSync(record)) && existsSync(path) ? path : undefined;
}

/** Why no window can open on this machine, or undefined if one can. */
export function whyNoWindow() {
  if (process.platform === 'linux' && !process.env.DISPLAY && !process.env.WAYLAND_DISPLAY)
    return 'there is no display';
  if (process.platform === 'linux' && process.getuid() === 0) return "Chromium's sandbox does not run as root";
  if (process.platform === 'darwin' && process.env.SSH_CONNECTION) return 'this is a remote session without a display';
  return undefined;
}

/**
 * Electron's executable, fetched on first use. A failed fetch is remembered for a day, so that later starts do not wait for it.
 * @returns {{ path: string } | { why: string }}
 */
export function ensureElectron() {
  const present = electronBinary();
  if (present) return { path: present };
  if (failedLately())
    return { why: 'its download failed within the last day (delete out/electron-failed.json to try again)' };
  say('Fetching Electron (about 120 MB, once) ...');
  const { status, error, stderr } = spawnSync(node, [at('node_modules', 'electron', 'install.js')], {
    env: env(),
    encoding: 'utf8',
    timeout: DOWNLOAD_SECONDS * 1000,
  });
  const path = electronBinary();
  if (path) {
    rmSync(failureFile, { force: true });
    return { path };
  }
  const reason =
    error?.code === 'ETIMEDOUT'
      ? `nothing came within ${DOWNLOAD_SECONDS} s`
      : (stderr?.match(/^\w*Error: .*$/m)?.[0] ?? error?.message ?? `its installer ended with code ${status}`);
  mkdirSync(at('out'), { recursive: true });
  writeFileSync(failureFile, JSON.stringify({ at: Date.now(), reason }));
  return { why: `its download failed: ${reason}` };
}

function failedLately() {
  try {
    return Date.now() - JSON.parse(readFileSync(failureFile, 'utf8')).at < DAY_MS;
  } catch {
    return false; // no record of a failure
  }
}
