// A checkpoint comes back bit for bit or is refused with a sentence; a full disk leaves the older ones whole.
import nodeFs, { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CHECKPOINT_FOLDER, checkpointSteps, loadCheckpoint, newestCheckpoint, saveCheckpoint } from './checkpoint';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-checkpoint-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const facts = (step: number, final = false) => ({
  step,
  tokens: step * 64,
  seconds: step / 3,
  cursor: step,
  seed: 1,
  data: 'text',
  final,
  device: 'cpu',
  threads: 2,
  precision: 'float32',
});
const tensors = (step: number) =>
  new Map([
    ['weight/embedding', { shape: [2, 3], data: Float32Array.from([step, 1 / 3, -0, 1e-40, 5, 6]) }],
    ['optimiser/m/embedding', { shape: [1], data: Float32Array.from([0.1]) }],
  ]);
const save = (step: number, keep = 2, final = false) =>
  saveCheckpoint(folder, facts(step, final), tensors(step), { keep });
const path = (name: string) => join(folder, CHECKPOINT_FOLDER, name);

describe('checkpoints', () => {
  it('come back as they were saved', () => {
    const { file, sizeBytes } = save(100);
    expect(file).toBe('step-00000100.safetensors');
    expect(readFileSync(path(file))).toHaveLength(sizeBytes);
    const loaded = loadCheckpoint(folder, 100);
    expect(loaded).toMatchObject({ ...facts(100), file, sizeBytes });
    expect(loaded.tensors).toEqual(tensors(100));
  });

  it('keep the newest few and the newest final one', () => {
    for (const step of [100, 200, 300]) save(step);
    save(350, 2, true);
    save(400);
    expect(checkpointSteps(folder)).toEqual([400, 350, 300]);
    expect(readdirSync(path(''))).toHaveLength(6);
    save(500, 2, true);
    expect(checkpointSteps(folder)).toEqual([500, 400, 350]);
  });

  it('are none where the folder is new', () => {
    expect(newestCheckpoint(folder)).toEqual({ checkpoint: undefined, refused: [] });
  });

  const harms: [string, () => void, RegExp][] = [
    ['a flipped bit', () => flip('step-00000200.safetensors', -1), /numbers are not those that were saved/],
    ['a cut file', () => nodeFs.truncateSync(path('step-00000200.safetensors'), 50), /it has 50 bytes/],
    ['a longer file', () => appendFileSync(path('step-00000200.safetensors'), 'x'), /its description says/],
    ['a missing file', () => rmSync(path('step-00000200.safetensors')), /can't be read/],
    ['broken JSON', () => writeFileSync(path('step-00000200.json'), '{'), /not a checkpoint description/],
    ['a name that leads elsewhere', () => edit({ file: '../../../etc/passwd' }), /not a checkpoint description/],
    ["another step's file", () => edit({ file: 'step-00000100.safetensors' }), /speaks of step 200/],
    ['another format', () => edit({ format: 'archlab.checkpoint/99' }), /not a checkpoint description of format/],
  ];
  const edit = (change: object) => {
    const at = path('step-00000200.json');
    writeFileSync(at, JSON.stringify({ ...JSON.parse(readFileSync(at, 'utf8')), ...change }));
  };
  const flip = (name: string, index: number) => {
    const bytes = readFileSync(path(name));
    bytes[bytes.length + index] ^= 1;
    writeFileSync(path(name), bytes);
  };
  for (const [name, harm, message] of harms)
    it(`refuse ${name} and fall back to the one before`, () => {
      save(100);
      save(200);
      harm();
      expect(() => loadCheckpoint(folder, 200)).toThrow(message);
      const { checkpoint, refused } = newestCheckpoint(folder);
      expect(checkpoint?.step).toBe(100);
      expect(refused).toHaveLength(1);
      expect(refused[0]).toMatch(/step-00000200.*go on from an earlier checkpoint/s);
    });

  it('stay whole when the disk fills up while the next is written, wherever that happens', () => {
    save(100);
    const before = readdirSync(path(''));
    for (let room = 0; room < 3; room++) {
      let left = room;
      const fs = {
        ...nodeFs,
        writeSync: ((fd: number, part: Uint8Array, from: number, length: number) => {
          if (left-- <= 0) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
          return nodeFs.writeSync(fd, part, from, length);
        }) as typeof nodeFs.writeSync,
      };
      expect(() => saveCheckpoint(folder, facts(200), tensors(200), { keep: 2, fs })).toThrow(/ENOSPC/);
      expect(readdirSync(path(''))).toEqual(before);
      expect(newestCheckpoint(folder).checkpoint?.step).toBe(100);
    }
  });

  it('sweep up what a killed writer left behind', () => {
    writeFileSync(join(folder, 'keep'), '');
    save(100);
    writeFileSync(path('step-00000150.safetensors'), 'tensors without their description');
    writeFileSync(path('step-00000150.json.part'), '{');
    expect(newestCheckpoint(folder).checkpoint?.step).toBe(100);
    save(200);
    expect(readdirSync(path('')).sort()).toEqual([
      'step-00000100.json',
      'step-00000100.safetensors',
      'step-00000200.json',
      'step-00000200.safetensors',
    ]);
  });
});
