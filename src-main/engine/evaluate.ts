// Loss and accuracy of a model on batches, whole and by slice.
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../ops';
import type { Model } from './build';
import { type Part, tensorsOf } from './gradient';

/** A part whose rows may carry slice keys, e.g. `{ kv: 8 }`. */
export interface TaggedPart extends Part {
  tags?: readonly Readonly<Record<string, number>>[];
}

/** Sums over rows, from which every metric follows. */
interface Sums {
  graded: number;
  loss: number;
  right: number;
  rows: number;
  /** Sum over rows of the share of graded tokens that are right. */
  rowShares: number;
}
const none = (): Sums => ({ graded: 0, loss: 0, right: 0, rows: 0, rowShares: 0 });

/** Nats and correctness of every position. */
async function positions(model: Model, part: Part): Promise<{ nats: Float32Array; right: Uint8Array }> {
  const { size, tokens, targets } = part;
  const [nats, best] = tf.tidy(() => {
    const logits: Tensor3D = model.logits(tensorsOf(() => part)[0]);
    const flat = tf.reshape(logits, [size * tokens, model.vocabulary]) as Tensor2D;
    const places = Int32Array.from(targets, (id, i) => i * model.vocabulary + id);
    const chosen = tf.gather(tf.reshape(flat, [-1]), tf.tensor1d(places, 'int32'));
    return [tf.sub(tf.logSumExp(flat, 1), chosen), tf.argMax(flat, 1)];
  });
  const values = (await nats.data()) as Float32Array;
  const ids = await best.data();
  const result = {
    nats: Float32Array.from(values),
    right: Uint8Array.from(targets, (id, i) => (ids[i] === id ? 1 : 0)),
  };
  nats.dispose();
  best.dispose();
  return result;
}

/**
 * Metrics over all batches: `loss/<split>` in nats a graded token, `accuracy/<split>` as the share of graded tokens,
 * where rows are graded in part also `accuracy_sample/<split>` (mean over rows of the row's accuracy), and each of them
 * for each value of each tag as `name[key=value]`.
 */
export async function evaluate(
  model: Model,
  batches: Iterable<TaggedPart> | AsyncIterable<TaggedPart>,
  split = 'validation',
): Promise<Record<string, number>> {
  const all = none();
  const slices = new Map<string, Sums>();
  let masked = false;
  for await (const batch of batches) {
    const { nats, right } = await positions(model, batch);
    masked ||= batch.mask !== null;
    for (let b = 0; b < batch.size; b++) {
      const row = none();
      for (let i = b * batch.tokens; i < (b + 1) * batch.tokens; i++) {
        if (batch.mask && !batch.mask[i]) continue;
        row.graded += 1;
        row.loss += nats[i];
        row.right += right[i];
      }
      if (row.graded === 0) continue;
      const keys = Object.entries(batch.tags?.[b] ?? {}).map(([key, value]) => `[${key}=${value}]`);
      for (const key of keys) if (!slices.has(key)) slices.set(key, none());
      for (const sums of [all, ...keys.map((key) => slices.get(key)!)]) {
        sums.graded += row.graded;
        sums.loss += row.loss;
        sums.right += row.right;
        sums.rows += 1;
        sums.rowShares += row.right / row.graded;
      }
    }
  }
  const values: Record<string, number> = {};
  for (const [key, sums] of [
    ['', all] as const,
    ...[...slices].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })),
  ]) {
    values[`loss/${split}${key}`] = sums.loss / sums.graded;
    values[`accuracy/${split}${key}`] = sums.right / sums.graded;
    if (masked) values[`accuracy_sample/${split}${key}`] = sums.rowShares / sums.rows;
  }
  return values;
}
