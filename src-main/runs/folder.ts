// The lab folder and the run folders in it: where things are, and how they are written so that a crash leaves no half.
import { randomInt } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { SpecError } from '../spec/error';
import { type RunSpec, runSchema } from '../spec/run';
import { problemsOf } from '../spec/zod';
import { memorableName } from './name';

export interface LabPaths {
  folder: string;
  runs: string;
  texts: string;
  store: string;
  lock: string;
}

/** The lab folder: as given, else ARCHLAB_HOME, else where this platform keeps a program's data. */
export function labFolder(given?: string, env: NodeJS.ProcessEnv = process.env, platform = process.platform): string {
  if (given) return resolve(given);
  if (env.ARCHLAB_HOME) return resolve(env.ARCHLAB_HOME);
  if (platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'Archlab');
  if (platform === 'win32') return join(env.APPDATA ?? join(homedir(), 'AppData', 'Roaming'), 'Archlab');
  return join(env.XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'archlab');
}

export const labPaths = (folder: string): LabPaths => ({
  folder,
  runs: join(folder, 'runs'),
  texts: join(folder, 'texts'),
  store: join(folder, 'lab.sqlite'),
  lock: join(folder, 'lab.lock'),
});

/** Names that are safe as one step of a path on every platform. */
export const ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** @throws Error for an id that could lead out of the runs folder. */
export function runFolder(paths: LabPaths, id: string): string {
  if (!ID.test(id)) throw new Error(`${JSON.stringify(id)} is not the id of a run`);
  return join(paths.runs, id);
}

/** Writes a whole file: to a temporary one, to the device, then into place. */
export function writeWhole(path: string, text: string): void {
  const part = join(dirname(path), `.${basename(path)}.${process.pid}.part`);
  try {
    const fd = openSync(part, 'w');
    try {
      const bytes = Buffer.from(text);
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(part, path);
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
}

/** Makes the folder of a new run, with its spec in it, under a name that is not taken. */
export function createRunFolder(paths: LabPaths, spec: RunSpec, random: (below: number) => number = randomInt): string {
  mkdirSync(paths.runs, { recursive: true });
  for (;;) {
    const id = memorableName(random);
    const folder = runFolder(paths, id);
    if (existsSync(folder)) continue;
    const part = join(paths.runs, `.new-${id}`);
    try {
      mkdirSync(join(part, 'checkpoints'), { recursive: true });
      writeWhole(join(part, 'spec.json'), `${JSON.stringify(spec, null, 2)}\n`);
      renameSync(part, folder);
    } catch (error) {
      rmSync(part, { recursive: true, force: true });
      throw error;
    }
    return id;
  }
}

const MAX_SPEC_BYTES = 4 * 1024 * 1024;

/**
 * The spec of a run folder, which may come from anywhere.
 * @throws SpecError or Error naming the file and what is wrong with it.
 */
export function readSpec(folder: string): RunSpec {
  const path = join(folder, 'spec.json');
  const { size } = statSync(path);
  if (size > MAX_SPEC_BYTES) throw new Error(`${path} has ${size} bytes; a spec has at most ${MAX_SPEC_BYTES}`);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} is not JSON: ${(error as Error).message}`);
  }
  const result = runSchema.safeParse(value);
  if (!result.success) throw new SpecError(problemsOf(result.error, 'run', value));
  return result.data;
}

/** Ids of the folders that hold a run; links are passed over. */
export function listRunFolders(paths: LabPaths): string[] {
  if (!existsSync(paths.runs)) return [];
  return readdirSync(paths.runs, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && ID.test(entry.name))
    .filter((entry) => existsSync(join(paths.runs, entry.name, 'spec.json')))
    .map((entry) => entry.name);
}

/** What the lab says of a run and its worker does not: kept in the folder, so that a rebuilt store knows it. */
const labelSchema = z.object({ name: z.string().max(200).optional(), deletedAt: z.number().nullable().default(null) });
export type Label = z.output<typeof labelSchema>;

export function readLabel(folder: string): Label {
  return readJson(join(folder, 'label.json'), labelSchema) ?? { deletedAt: null };
}
export function writeLabel(folder: string, change: Partial<Label>): void {
  writeWhole(join(folder, 'label.json'), `${JSON.stringify({ ...readLabel(folder), ...change })}\n`);
}

const heartbeatSchema = z.object({
  pid: z.int().min(1),
  startTime: z.number().nullable().default(null),
  at: z.number(),
  step: z.number(),
});
/** `startTime`: when the process began, milliseconds since 1970. */
export type Heartbeat = z.output<typeof heartbeatSchema>;

export const readHeartbeat = (folder: string): Heartbeat | undefined =>
  readJson(join(folder, 'heartbeat.json'), heartbeatSchema);

/** A small file of plain data; undefined where it is missing, torn or of another shape. */
export function readJson<T>(path: string, schema: z.ZodType<T>): T | undefined {
  try {
    if (statSync(path).size > MAX_SPEC_BYTES) return undefined;
    return schema.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

/** Bytes of all files of a run. */
export function folderBytes(folder: string): number {
  let sum = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
    if (entry.isFile()) {
      try {
        sum += statSync(join(entry.parentPath, entry.name)).size;
      } catch {
        // Removed while we counted.
      }
    }
  return sum;
}

/** Removes a run's folder for good. Only a real folder directly inside runs/ is touched. */
export function removeRunFolder(paths: LabPaths, id: string): void {
  const folder = runFolder(paths, id);
  if (!existsSync(folder)) return;
  if (!lstatSync(folder).isDirectory()) throw new Error(`${folder} is not a folder of its own, so it stays`);
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}
