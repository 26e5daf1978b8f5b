// The comparison itself: errors by the formula, wrong numbers found, unknown blocks named, bad files answered with a sentence.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { formatParity, parity, passed, relativeError } from './parity';
import { readSafetensors, writeSafetensors } from './safetensors';

const CASE = resolve(import.meta.dirname, '../../test/golden/softmax_attention/mha_rope');
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-parity-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Puts the case into the folder with its JSON and its tensors changed. */
function place(
  name: string,
  change: (json: Record<string, unknown>) => void = () => {},
  spoil: (tensors: ReturnType<typeof readSafetensors>['tensors']) => void = () => {},
) {
  const json = JSON.parse(readFileSync(`${CASE}.json`, 'utf8'));
  change(json);
  const { tensors } = readSafetensors(readFileSync(`${CASE}.safetensors`), CASE);
  spoil(tensors);
  const at = join(folder, 'some', 'where');
  mkdirSync(at, { recursive: true });
  writeFileSync(join(at, `${name}.json`), JSON.stringify(json));
  writeFileSync(join(at, `${name}.safetensors`), writeSafetensors(tensors));
}
const run = () => parity(folder, { device: 'reference' });

it('measures by the formula of the golden cases', () => {
  expect(relativeError([1, 2], [1, 4])).toBe(0.5);
  expect(relativeError([1e-7], [0])).toBeCloseTo(0.1, 10);
  expect(relativeError([1], [1, 2])).toBe(Number.POSITIVE_INFINITY);
  expect(relativeError([Number.NaN, 1], [0, 1])).toBe(Number.POSITIVE_INFINITY);
});

it('compares every tensor in each phase', async () => {
  place('good');
  const rows = await run();
  expect(passed(rows)).toBe(true);
  const names = (phase: string) => rows.filter((row) => row.phase === phase).map((row) => row.tensor);
  expect(names('forward')).toEqual(['output/y']);
  expect(names('backward').sort()).toEqual(['grad/w_k', 'grad/w_o', 'grad/w_q', 'grad/w_v', 'grad/x']);
  expect(names('decode').sort()).toEqual(['output/y', 'state/k_cache', 'state/v_cache']);
  expect(names('extra')).toEqual(['extra/attn']);
});

it('finds one wrong number, a wrong option, and a tensor that is not computed', async () => {
  place('spoiled', undefined, (tensors) => {
    tensors.get('grad/w_k')!.data[3] += 0.1;
    tensors.set('extra/other', { shape: [1], data: Float32Array.of(1) });
  });
  place('other', (json) => {
    (json.config as Record<string, unknown>).rope_theta = 500;
  });
  const rows = await run();
  expect(passed(rows)).toBe(false);
  const failed = (name: string) => rows.filter((row) => row.case === name && !row.ok).map((row) => row.tensor);
  expect(failed('spoiled').sort()).toEqual(['extra/other', 'grad/w_k']);
  expect(failed('other')).toContain('output/y');
  expect(formatParity(rows)).toMatch(/softmax_attention +backward +grad\/w_k .* FAILS/);
  expect(formatParity(rows)).toContain('softmax_attention/spoiled extra/other: the lab does not compute it');
});

it('leaves out gradients that the case says are not stored', async () => {
  place(
    'unstored',
    (json) => {
      json.gradients_not_stored = ['w_k'];
    },
    (tensors) => {
      tensors.get('grad/w_k')!.data.fill(9);
    },
  );
  expect(passed(await run())).toBe(true);
});

it('takes a cache that holds no token yet for the empty one of the case, and misses one that should hold some', async () => {
  place('empty', undefined, (tensors) => {
    tensors.set('state/values', { shape: [2, 4, 0, 8], data: new Float32Array(0) });
  });
  expect(passed(await run())).toBe(true);
  place('full', undefined, (tensors) => {
    tensors.set('state/values', { shape: [1], data: Float32Array.of(1) });
  });
  expect(formatParity(await run())).toContain('softmax_attention/full state/values: the lab does not compute it');
});

it('names unknown blocks without failing, and fails broken cases of known ones', async () => {
  place('strange', (json) => {
    json.block = 'tea_leaves';
  });
  expect(passed(await run())).toBe(true);
  place('broken', (json) => {
    (json.config as Record<string, unknown>).n_heads = 'many';
  });
  place('unfit', (json) => {
    (json.config as Record<string, unknown>).n_kv_heads = 3;
  });
  writeFileSync(join(folder, 'torn.json'), '{"block": ');
  cpSync(`${CASE}.safetensors`, join(folder, 'torn.safetensors'));
  const rows = await run();
  expect(passed(rows)).toBe(false);
  const text = formatParity(rows);
  expect(text).toContain('not known here, not checked: tea_leaves');
  expect(text).toContain('config.n_heads: wants a number, not "many"');
  expect(text).toMatch(/unfit .*config\.kvHeads: 3 .* do not divide/);
  expect(text).toContain('torn');
});

it('answers an empty or missing folder with a sentence', async () => {
  await expect(run()).rejects.toThrow('no golden case here');
  await expect(parity(join(folder, 'none'), { device: 'reference' })).rejects.toThrow("can't be read");
  expect(readdirSync(folder)).toEqual([]);
});
