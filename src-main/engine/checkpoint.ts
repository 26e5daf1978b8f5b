// Checkpoints of a run: all that training needs to go on, bit for bit, as safetensors with a JSON file beside it.
import { createHash } from 'node:crypto';
import nodeFs from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { SpecError } from '../spec/error';
import { type PlainTensor, readSafetensors, safetensorsParts } from './safetensors';

const CHECKPOINT_FORMAT = 'archlab.checkpoint/1';
export const CHECKPOINT_FOLDER = 'checkpoints';

/** The calls of node:fs that checkpoints make, so that a test can fill the disk. */
export type CheckpointFs = Pick<
  typeof nodeFs,
  | 'closeSync'
  | 'existsSync'
  | 'fsyncSync'
  | 'mkdirSync'
  | 'openSync'
  | 'readdirSync'
  | 'readFileSync'
  | 'renameSync'
  | 'rmSync'
  | 'statSync'
  | 'writeSync'
>;

const sidecar = z.strictObject({
  format: z.literal(CHECKPOINT_FORMAT),
  file: z.string().regex(/^step-\d{8,}\.safetensors$/),
  sha256: z.string().length(64),
  sizeBytes: z.int().min(0),
  step: z.int().min(0),
  tokens: z.int().min(0),
  seconds: z.number().min(0),
  /** Index of the next training batch: with the seed it is all the state that data order and sampling have. */
  cursor: z.int().min(0),
  seed: z.int().min(0),
  /** `fingerprint` of the task's data. */
  data: z.string().max(10_000),
  final: z.boolean(),
  /** What the numbers depend on besides the spec. */
  device: z.string(),
  threads: z.int().min(0),
  precision: z.string(),
});
/** What stands beside the tensors. */
export type CheckpointFacts = Omit<z.output<typeof sidecar>, 'format' | 'file' | 'sha256' | 'sizeBytes'>;

export interface Checkpoint extends CheckpointFacts {
  /** Name of the safetensors file inside the checkpoint folder. */
  file: string;
  sizeBytes: number;
  /** `weight/<name>` for the model's weights, `optimiser/<name>` for the optimiser's state. */
  tensors: Map<string, PlainTensor>;
}

const nameOf = (step: number) => `step-${String(step).padStart(8, '0')}`;
const MAX_SIDECAR_BYTES = 64 * 1024;

/**
 * Saves a checkpoint: the tensors first, then the JSON that makes them count, each written aside, flushed and renamed,
 * so that at any moment the folder holds only whole checkpoints. Then removes what `keep` does not keep.
 * @throws Error of node:fs, such as ENOSPC; what was saved before stays as it is.
 */
export function saveCheckpoint(
  runFolder: string,
  facts: CheckpointFacts,
  tensors: Iterable<readonly [string, PlainTensor]>,
  { keep, fs = nodeFs }: { keep: number; fs?: CheckpointFs },
): { file: string; sizeBytes: number } {
  const folder = join(runFolder, CHECKPOINT_FOLDER);
  fs.mkdirSync(folder, { recursive: true });
  const file = `${nameOf(facts.step)}.safetensors`;
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const parts = function* () {
    for (const part of safetensorsParts(tensors, { format: CHECKPOINT_FORMAT, step: String(facts.step) })) {
      hash.update(part);
      sizeBytes += part.length;
      yield part;
    }
  };
  writeWhole(fs, join(folder, file), parts());
  const beside = { format: CHECKPOINT_FORMAT, file, sha256: hash.digest('hex'), sizeBytes, ...facts };
  writeWhole(fs, join(folder, `${nameOf(facts.step)}.json`), [Buffer.from(`${JSON.stringify(beside, null, 2)}\n`)]);
  syncFolder(fs, folder);
  prune(fs, folder, keep);
  return { file, sizeBytes };
}

function writeWhole(fs: CheckpointFs, path: string, parts: Iterable<Uint8Array>): void {
  const aside = `${path}.part`;
  const fd = fs.openSync(aside, 'w', 0o644);
  try {
    try {
      for (const part of parts)
        for (let done = 0; done < part.length; ) {
          const written = fs.writeSync(fd, part, done, part.length - done);
          if (written === 0) throw Object.assign(new Error(`no room for ${path}`), { code: 'ENOSPC' });
          done += written;
        }
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(aside, path);
  } catch (error) {
    fs.rmSync(aside, { force: true });
    throw error;
  }
}

/** Makes the renames survive a power cut. Windows can't open a folder; there the file system journals them itself. */
function syncFolder(fs: CheckpointFs, folder: string): void {
  if (process.platform === 'win32') return;
  const fd = fs.openSync(folder, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Steps that have a JSON file, newest first. */
export function checkpointSteps(runFolder: string, fs: CheckpointFs = nodeFs): number[] {
  const folder = join(runFolder, CHECKPOINT_FOLDER);
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder)
    .flatMap((name) => /^step-(\d{8,15})\.json$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
}

/** Keeps the newest `keep` and the newest final one. A broken JSON file counts as not final. */
function prune(fs: CheckpointFs, folder: string, keep: number): void {
  const steps = checkpointSteps(join(folder, '..'), fs);
  const final = steps.find((step) => readSidecar(fs, folder, step)?.final);
  const others = steps.filter((step) => step !== final);
  for (const step of others.slice(keep)) {
    // The JSON goes first: without it the tensors do not count.
    fs.rmSync(join(folder, `${nameOf(step)}.json`), { force: true });
    fs.rmSync(join(folder, `${nameOf(step)}.safetensors`), { force: true });
  }
  // Leftovers of a writer that was killed between its steps.
  const counted = new Set(checkpointSteps(join(folder, '..'), fs).map(nameOf));
  for (const name of fs.readdirSync(folder))
    if (name.endsWith('.part') || (name.endsWith('.safetensors') && !counted.has(basename(name, '.safetensors'))))
      fs.rmSync(join(folder, name), { force: true });
}

function readSidecar(fs: CheckpointFs, folder: string, step: number): z.output<typeof sidecar> | undefined {
  try {
    const path = join(folder, `${nameOf(step)}.json`);
    if (fs.statSync(path).size > MAX_SIDECAR_BYTES) return undefined;
    return sidecar.safeParse(JSON.parse(fs.readFileSync(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

/**
 * Reads the checkpoint of one step and checks it against its sum.
 * @throws SpecError naming the file and what is wrong with it.
 */
export function loadCheckpoint(runFolder: string, step: number, fs: CheckpointFs = nodeFs): Checkpoint {
  const folder = join(runFolder, CHECKPOINT_FOLDER);
  const fail = (path: string, message: string): never => {
    throw new SpecError([{ path, message, hint: 'go on from an earlier checkpoint' }]);
  };
  const facts =
    readSidecar(fs, folder, step) ??
    fail(join(folder, `${nameOf(step)}.json`), `it is not a checkpoint description of format ${CHECKPOINT_FORMAT}`);
  const path = join(folder, `${nameOf(step)}.safetensors`);
  if (facts.step !== step || facts.file !== basename(path))
    return fail(path, `its description speaks of step ${facts.step} and of the file ${facts.file}`);
  let bytes: Uint8Array;
  try {
    bytes = fs.readFileSync(path);
  } catch (error) {
    return fail(path, `it can't be read (${(error as Error).message})`);
  }
  if (bytes.length !== facts.sizeBytes)
    return fail(path, `it has ${bytes.length} bytes, its description says ${facts.sizeBytes}`);
  if (createHash('sha256').update(bytes).digest('hex') !== facts.sha256)
    return fail(path, 'its numbers are not those that were saved (the SHA-256 sums differ)');
  const { tensors } = readSafetensors(bytes, path);
  const { format: _format, sha256: _sha256, ...rest } = facts;
  return { ...rest, tensors };
}

/** The newest checkpoint that is whole, and why each newer one was passed over. */
export function newestCheckpoint(
  runFolder: string,
  fs: CheckpointFs = nodeFs,
): { checkpoint: Checkpoint | undefined; refused: string[] } {
  const refused: string[] = [];
  for (const step of checkpointSteps(runFolder, fs)) {
    try {
      return { checkpoint: loadCheckpoint(runFolder, step, fs), refused };
    } catch (error) {
      if (!(error instanceof SpecError)) throw error;
      refused.push(error.message);
    }
  }
  return { checkpoint: undefined, refused };
}
