// Continues a prompt: token by token, with a seeded choice among the likely ones.
import type { Tensor1D } from '@tensorflow/tfjs-core';
import { tf } from '../ops';
import { SpecError } from '../spec/error';
import { stream } from '../spec/random';
import type { Model } from './build';
import { type DecodeState, disposeState } from './decode';

export interface Sampling {
  /** 0 takes the likeliest token; 1 the model's own shares (default); more is bolder. */
  temperature?: number;
  /** Chooses among the k likeliest tokens only. */
  topK?: number;
  /** Chooses among the likeliest tokens that together hold this share. */
  topP?: number;
}
export interface GenerateOptions extends Sampling {
  /** Token ids to go on from; empty: the first one is drawn evenly. */
  prompt: readonly number[];
  /** Tokens to add. */
  length: number;
  seed: number;
  /** Called with each new token and the state it was chosen from (none yet for a drawn first one); false ends the text there. */
  onToken?(id: number, index: number, state?: DecodeState): boolean | undefined;
  /** Called after each token that was read, of the prompt too: where the host lets other work in. */
  onRead?(): Promise<void> | undefined;
}

/** The ids of logits [V], the likeliest first, ties by the smaller id: found one by one, since few of a large vocabulary are asked for. */
class Likeliest {
  /** In order so far. */
  private readonly found: number[] = [];
  /** The rest as a heap: no id is likelier than the one at half its place. */
  private readonly rest: Int32Array;
  private left: number;

  constructor(private readonly logits: ArrayLike<number>) {
    this.rest = Int32Array.from({ length: logits.length }, (_, i) => i);
    this.left = logits.length;
    for (let i = this.left >> 1; i-- > 0; ) this.sink(i);
  }

  /** The id at place i of the order. */
  at(i: number): number {
    while (this.found.length <= i) {
      this.found.push(this.rest[0]);
      this.rest[0] = this.rest[--this.left];
      this.sink(0);
    }
    return this.found[i];
  }

  private likelier(a: number, b: number): boolean {
    return this.logits[a] > this.logits[b] || (this.logits[a] === this.logits[b] && a < b);
  }

  private sink(from: number): void {
    const { rest, left } = this;
    const id = rest[from];
    let i = from;
    for (let child = 2 * i + 1; child < left; child = 2 * i + 1) {
      if (child + 1 < left && this.likelier(rest[child + 1], rest[child])) child++;
      if (!this.likelier(rest[child], id)) break;
      rest[i] = rest[child];
      i = child;
    }
    rest[i] = id;
  }
}

/** Picks an id from logits [V] with `uniform` in [0, 1). Ties go to the smaller id. */
export function choose(logits: ArrayLike<number>, uniform: number, sampling: Sampling = {}): number {
  const { temperature = 1, topK = 0, topP = 1 } = sampling;
  let best = 0;
  for (let i = 0; i < logits.length; i++) {
    if (!Number.isFinite(logits[i])) throw new Error('the model gave logits that are not numbers: it has diverged');
    if (logits[i] > logits[best]) best = i;
  }
  if (temperature === 0) return best;
  const order = new Likeliest(logits);
  const weightOf = (id: number) => Math.exp((logits[id] - logits[best]) / temperature);
  let count = topK > 0 ? Math.min(topK, logits.length) : logits.length;
  let held = 0; // the sum of the weights to choose among
  for (let i = 0; i < count; i++) held += weightOf(count < logits.length ? order.at(i) : i);
  if (topP < 1) {
    const enough = topP * held;
    const most = count;
    held = 0;
    for (count = 0; count < most && (count === 0 || held < enough); count++) held += weightOf(order.at(count));
  }
  let left = uniform * held;
  for (let i = 0; i < count; i++) {
    left -= weightOf(order.at(i));
    if (left < 0) return order.at(i);
  }
  return order.at(count - 1);
}

function check({ prompt, length, temperature = 1, topK = 0, topP = 1 }: GenerateOptions, model: Model): void {
  const wrong = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= model.vocabulary);
  if (wrong !== undefined)
    throw new SpecError(`token ${wrong} of the prompt is not a whole number from 0 to ${model.vocabulary - 1}`);
  if (!Number.isInteger(length) || length < 0) throw new SpecError(`${length} is not a number of tokens to add`);
  if (!(temperature >= 0)) throw new SpecError(`temperature ${temperature} does not fit: it wants 0 or more`);
  if (!Number.isInteger(topK) || topK < 0) throw new SpecError(`topK ${topK} does not fit: it wants 0 (all) or more`);
  if (!(topP > 0 && topP <= 1)) throw new SpecError(`topP ${topP} does not fit: it wants more than 0, at most 1`);
}

/**
 * The tokens that follow the prompt. Past the end of a learned position table the text goes on from its latest half.
 * @throws SpecError for a prompt outside the vocabulary, or options out of range.
 */
export async function generate(model: Model, options: GenerateOptions): Promise<number[]> {
  check(options, model);
  const { prompt, length, seed, onToken, onRead } = options;
  const draw = stream('generate', seed);
  const ids = prompt.length ? [...prompt] : [Math.floor(draw.uniform() * model.vocabulary)];
  const added: number[] = prompt.length ? [] : ids.slice(0, length);
  if (added.length && onToken?.(added[0], 0) === false) return added;
  const limit = model.maxTokens ?? Number.POSITIVE_INFINITY;
  let state: DecodeState | undefined;
  let waiting = ids.slice(-limit); // read before the next token can be chosen
  try {
    while (added.length < length) {
      if (state && state.position + waiting.length > limit) {
        disposeState(state);
        state = undefined;
        waiting = ids.slice(-Math.max(1, Math.floor(limit / 2)));
      }
      state ??= model.begin(1);
      let logits: Float32Array | undefined;
      for (const [i, id] of waiting.entries()) {
        const token = tf.tensor1d([id], 'int32') as Tensor1D;
        const done = model.step(token, state);
        state = done.state;
        token.dispose();
        // Read only where it is needed: reading waits for the device.
        if (i === waiting.length - 1) logits = (await done.logits.data()) as Float32Array;
        done.logits.dispose();
        await onRead?.();
      }
      const id = choose(logits!, draw.uniform(), options);
      ids.push(id);
      added.push(id);
      waiting = [id];
      if (onToken?.(id, added.length - 1, state) === false) break;
    }
  } finally {
    if (state) disposeState(state);
  }
  return added;
}
