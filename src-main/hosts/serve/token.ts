// The token of a lab folder: kept beside the lab, so that a window open in the browser finds the lab again after a restart on the same port.
import { randomBytes } from 'node:crypto';
import { lstatSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE = 'serve.token';
const SHAPE = /^[\w-]{32}$/;
/** Reading, writing or running by anyone but the owner. */
const OTHERS = 0o077;

/**
 * The token kept in the folder, or a fresh one, kept from now on. One that others may read, or that is no plain file, is replaced; where the
 * folder can't be written, the fresh one serves this start alone.
 */
export function labToken(folder: string, platform = process.platform): string {
  const path = join(folder, FILE);
  const kept = read(path, platform);
  if (kept) return kept;
  const token = randomBytes(24).toString('base64url');
  const part = `${path}.${process.pid}.part`;
  try {
    rmSync(part, { force: true });
    writeFileSync(part, token, { mode: 0o600, flag: 'wx' });
    renameSync(part, path);
  } catch {
    rmSync(part, { force: true });
  }
  return token;
}

function read(path: string, platform: NodeJS.Platform): string | undefined {
  try {
    const facts = lstatSync(path);
    // Windows has no such bits: there the user's own folder keeps others out.
    if (!facts.isFile() || facts.size > 100 || (platform !== 'win32' && facts.mode & OTHERS)) return undefined;
    const token = readFileSync(path, 'utf8');
    return SHAPE.test(token) ? token : undefined;
  } catch {
    return undefined;
  }
}
