// Makes rows of MQAR as HazyResearch/zoology `zoology/data/multiquery_ar.py` defines them, each a pure function of its place.
import type { Problem } from '../../spec/error';
import { SpecError } from '../../spec/error';
import { rowHash, stream } from '../../spec/random';
import type { Batch, Split, TaskContext, TaskData } from '../define';

export interface MqarOptions {
  vocabulary: number;
  trainLengths: readonly number[];
  trainPairs: readonly number[];
  testLengths: readonly number[];
  testPairs: readonly number[];
  power: number;
  passes: number;
  fill: 'random' | 'zero' | 'safe';
  rows: number;
  testRows: number;
}

/** One difficulty: L tokens with K pairs. */
export interface Setting {
  length: number;
  pairs: number;
}
export interface Row {
  inputs: Int32Array;
  targets: Int32Array;
  mask: Uint8Array;
}

const VERSION = 1;
const MAX_TRIES = 100;
const BLANK = 0;

/** Draws one row of `length` tokens from the stream of `keys`. */
export function drawRow(
  { length, pairs }: Setting,
  { vocabulary, power, passes, fill }: MqarOptions,
  keys: readonly (string | number)[],
): Row {
  const random = stream('mqar', VERSION, vocabulary, length, pairs, power, passes, fill, ...keys);
  const half = vocabulary / 2;
  const key = random.distinct(pairs, 1, Math.floor(half) - 1);
  const value = random.distinct(pairs, Math.floor(half), vocabulary - 1);
  const row: Row = {
    inputs: new Int32Array(length).fill(BLANK),
    targets: new Int32Array(length),
    mask: new Uint8Array(length),
  };
  for (let p = 0; p < passes; p++)
    for (let i = 0; i < pairs; i++) {
      row.inputs[2 * (p * pairs + i)] = key[i];
      row.inputs[2 * (p * pairs + i) + 1] = value[i];
    }
  const context = 2 * pairs * passes;
  for (const [i, slot] of drawSlots(Math.floor((length - context) / 2), pairs, power, random.uniform).entries()) {
    const at = context + 2 * slot;
    row.inputs[at] = key[i];
    row.targets[at] = value[i];
    row.mask[at] = 1;
  }
  if (fill === 'zero') return row;
  const isKey = new Set(fill === 'safe' ? key : []);
  for (let t = context; t < length; t++) {
    if (row.inputs[t] !== BLANK) continue;
    let filler = random.below(vocabulary);
    while (isKey.has(filler)) filler = random.below(vocabulary);
    row.inputs[t] = filler;
  }
  return row;
}

/**
 * `count` different slots of `slots`, in the order drawn, slot j (from 1) with weight j^(a-1). The smallest of exponential
 * waiting times with those rates come in the order of successive draws without replacement (Efraimidis and Spirakis 2006).
 */
export function drawSlots(slots: number, count: number, power: number, uniform: () => number): number[] {
  return Array.from({ length: slots }, (_, j) => ({
    j,
    wait: -Math.log(1 - uniform()) * (j + 1) ** (1 - power),
  }))
    .sort((a, b) => a.wait - b.wait)
    .slice(0, count)
    .map(({ j }) => j);
}

function check(options: MqarOptions): { train: Setting[]; validation: Setting[] } {
  const problems: Problem[] = [];
  const read = (of: 'train' | 'test'): Setting[] => {
    const [lengths, counts] = [options[`${of}Lengths`], options[`${of}Pairs`]];
    const at = `run.task.options.${of}Pairs`;
    if (lengths.length !== counts.length)
      problems.push({
        path: at,
        message: `${counts.length} numbers of pairs do not go with ${lengths.length} lengths`,
        hint: `give as many as ${of}Lengths has`,
      });
    return lengths.map((length, i) => {
      const pairs = counts[i] ?? 1;
      const wants = 2 * pairs * options.passes + 2 * pairs;
      if (!Number.isInteger(length) || length % 2 !== 0)
        problems.push({
          path: `run.task.options.${of}Lengths[${i}]`,
          message: `a length of ${length} does not fit: rows are made of pairs, so it wants an even whole number`,
          hint: `try ${2 * Math.ceil(length / 2)}`,
        });
      else if (!Number.isInteger(pairs) || wants > length)
        problems.push({
          path: `${at}[${i}]`,
          message: `${pairs} pairs, shown ${options.passes} times and asked once, want ${wants} tokens, but the length is ${length}`,
          hint: `try ${Math.floor(length / (2 * options.passes + 2))} pairs, or a length of ${2 * Math.ceil(wants / 2)}`,
        });
      else if (pairs > Math.floor(options.vocabulary / 2) - 1)
        problems.push({
          path: `${at}[${i}]`,
          message: `${pairs} pairs want as many different keys, but a vocabulary of ${options.vocabulary} has ${Math.floor(options.vocabulary / 2) - 1}`,
          hint: `try a vocabulary of ${2 * (pairs + 1)}`,
        });
      return { length, pairs };
    });
  };
  const settings = { train: read('train'), validation: read('test') };
  if (problems.length) throw new SpecError(problems);
  return settings;
}

/**
 * MQAR as a task. Batch i is of setting i modulo the number of settings; a training row that a test row equals is drawn anew.
 * @throws SpecError for settings that do not fit together, or a task too small for test rows of its own.
 */
export function makeMqar(options: MqarOptions, { seed }: TaskContext): TaskData {
  const settings = check(options);
  const trained = new Set(settings.train.map(({ length }) => length));
  const held = new Set<number>();
  for (const [s, setting] of settings.validation.entries())
    if (trained.has(setting.length))
      for (let i = 0; i < options.testRows; i++)
        held.add(identity(drawRow(setting, options, [seed, 'validation', s, i])));
  let redraws = 0;

  const trainRow = (s: number, i: number): Row => {
    const place = options.rows ? stream('mqar-order', seed, s, i).below(options.rows) : i;
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const row = drawRow(settings.train[s], options, [seed, 'train', s, place, attempt]);
      if (!held.has(identity(row))) return row;
      redraws += 1;
    }
    throw new SpecError([
      {
        path: 'run.task.options',
        message: `after ${MAX_TRIES} tries every training row of ${settings.train[s].length} tokens and ${settings.train[s].pairs} pairs is also a test row: the task is too small for test rows of its own`,
        hint: 'try a larger vocabulary or fewer test rows',
      },
    ]);
  };

  const rowOf = (split: Split, s: number, i: number): Row =>
    split === 'train'
      ? trainRow(s, i)
      : drawRow(settings.validation[s], options, [seed, 'validation', s, i % options.testRows]);

  const longest = Math.max(...[...settings.train, ...settings.validation].map(({ length }) => length));
  return {
    vocabulary: options.vocabulary,
    tokens: longest,
    round: settings.validation.length,
    batch(split, index, size): Batch {
      const s = index % settings[split].length;
      const { length, pairs } = settings[split][s];
      const from = Math.floor(index / settings[split].length) * size;
      const batch = {
        size,
        tokens: length,
        inputs: new Int32Array(size * length),
        targets: new Int32Array(size * length),
        mask: new Uint8Array(size * length),
        tags: new Array(size).fill({ kv: pairs, len: length, ...(options.passes > 1 && { passes: options.passes }) }),
      };
      for (let b = 0; b < size; b++) {
        const row = rowOf(split, s, from + b);
        batch.inputs.set(row.inputs, b * length);
        batch.targets.set(row.targets, b * length);
        batch.mask.set(row.mask, b * length);
      }
      return batch;
    },
    sizes: {
      train: options.rows ? options.rows * settings.train.reduce((sum, { length }) => sum + length, 0) : null,
      validation: options.testRows * settings.validation.reduce((sum, { length }) => sum + length, 0),
    },
    encode: (text) =>
      text
        .split(/\s+/)
        .filter(Boolean)
        .map(Number)
        .map((id) => (id >= 0 && id < options.vocabulary ? Math.floor(id) : 0)),
    decode: (ids) => Array.from(ids).join(' '),
    fingerprint: `mqar/${VERSION}/${seed}/${JSON.stringify(options)}`,
    redraws: () => redraws,
    levels: {
      'accuracy of a guess among values': 2 / options.vocabulary,
      'loss of a guess among values': Math.log(options.vocabulary / 2),
    },
  };
}

/** What makes two rows the same: their inputs and their graded targets. */
const identity = (row: Row): number => rowHash(row.inputs, row.targets);
