// Metrics against sums made by hand, over two batches with masks and tags; and that no tensor stays.
import { beforeAll, describe, expect, it } from 'vitest';
import { tf, useDevice } from '../ops';
import type { Model } from './build';
import { evaluate } from './evaluate';

const V = 5;
/** Logits that depend on the token alone, so that a person can follow. */
const logit = (token: number, id: number) => Math.fround(Math.sin(1.3 * token + 0.7 * id * id));
const model = {
  vocabulary: V,
  logits: (tokens: { arraySync(): number[][] }) =>
    tf.tensor3d(tokens.arraySync().map((row) => row.map((t) => Array.from({ length: V }, (_, id) => logit(t, id))))),
} as unknown as Model;

const nats = (token: number, target: number) => {
  const row = Array.from({ length: V }, (_, id) => logit(token, id));
  return Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[target];
};
const best = (token: number) => {
  const row = Array.from({ length: V }, (_, id) => logit(token, id));
  return row.indexOf(Math.max(...row));
};

const one = {
  size: 2,
  tokens: 3,
  inputs: Int32Array.of(0, 1, 2, 3, 4, 0),
  targets: Int32Array.of(best(0), best(1), 0, best(3), 1, 2),
  mask: Uint8Array.of(1, 1, 0, 1, 1, 1),
  tags: [{ kv: 2 }, { kv: 10 }],
};
const two = {
  size: 1,
  tokens: 2,
  inputs: Int32Array.of(2, 3),
  targets: Int32Array.of(best(2), best(3)),
  mask: Uint8Array.of(1, 0),
  tags: [{ kv: 2 }],
};

describe.each(['cpu', 'reference'] as const)('evaluate on %s', (device) => {
  beforeAll(async () => {
    await useDevice(device, { threads: 1 });
  });

  it('takes means over graded tokens, over rows, and by slice', async () => {
    const before = tf.memory().numTensors;
    const values = await evaluate(model, [one, two]);
    expect(tf.memory().numTensors).toBe(before);
    const right = (x: number, y: number) => (best(x) === y ? 1 : 0);
    const rows = [
      {
        kv: 2,
        pairs: [
          [0, best(0)],
          [1, best(1)],
        ],
      },
      {
        kv: 10,
        pairs: [
          [3, best(3)],
          [4, 1],
          [0, 2],
        ],
      },
      { kv: 2, pairs: [[2, best(2)]] },
    ];
    const expected: Record<string, number> = {};
    for (const [slice, chosen] of [
      ['', rows],
      ['[kv=2]', rows.filter((r) => r.kv === 2)],
      ['[kv=10]', rows.filter((r) => r.kv === 10)],
    ] as const) {
      const pairs = chosen.flatMap((r) => r.pairs) as [number, number][];
      const mean = (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length;
      expected[`loss/validation${slice}`] = mean(pairs.map(([x, y]) => nats(x, y)));
      expected[`accuracy/validation${slice}`] = mean(pairs.map(([x, y]) => right(x, y)));
      expected[`accuracy_sample/validation${slice}`] = mean(
        chosen.map((r) => mean((r.pairs as [number, number][]).map(([x, y]) => right(x, y)))),
      );
    }
    expect(Object.keys(values)).toEqual(Object.keys(expected));
    // float32 logits near 1 and their log-sum-exp near 2: a few units in the last place.
    for (const [name, value] of Object.entries(expected)) expect(values[name], name).toBeCloseTo(value, 5);
    expect(values['accuracy/validation']).toBeLessThan(1);
  });

  it('leaves the mean over rows out where every token is graded', async () => {
    const values = await evaluate(model, [{ ...two, mask: null, tags: undefined }], 'train');
    expect(Object.keys(values)).toEqual(['loss/train', 'accuracy/train']);
    expect(values['accuracy/train']).toBe(1);
  });
});
