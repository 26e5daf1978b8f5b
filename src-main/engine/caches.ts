// Caches that grow by a token a step: written in place, with room to spare that doubles when it runs out.
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Cache } from '../blocks/define';
import { fed, hasKernel, overwrite, own, runKernel, servesHalves, tf } from '../ops';

/** Tokens that a cache has room for at first. */
const ROOM = 128;

interface Entry {
  /** [.., capacity, width], float32, or [.., capacity, words] of bfloat16, in memory of its own. */
  rows: Tensor;
  /** Numbers of a token. */
  width: number;
  /** Tokens in it. */
  count: number;
  /** The current step has appended to it. */
  touched: boolean;
}

const capacityOf = ({ rows }: Entry): number => rows.shape[rows.rank - 2]!;

/** The caches of one text, by block and name. */
export class Caches {
  /** Whether the device writes in place; where not, blocks join tensors as they do alone. */
  readonly able = hasKernel('CacheAppend');
  /** Tokens are kept in bfloat16, to which the attention of a whole sequence rounds them too. */
  private readonly halves = servesHalves();
  private readonly entries = new Map<string, Entry>();
  private readonly byTensor = new Map<Tensor, Entry>();
  /** What the current step has been fed, by the tokens in a cache: all that hold as many share it. */
  private readonly feeds = new Map<number, { at: Tensor; length: Tensor }>();
  /** `key`, until caches come or grow apart. */
  private known: string | undefined;

  /** Takes over a tensor [.., tokens, width] as a cache of so many tokens; gives what stands in for it in the block's state. */
  adopt(name: string, tokens: Tensor): Tensor {
    if (!this.able) return tokens;
    const [count, width] = tokens.shape.slice(-2);
    const kept = this.halves ? runKernel('HalvesOf', { x: tokens }, {}).words : tokens;
    const entry: Entry = {
      rows: roomier(kept, Math.max(ROOM, 2 ** Math.ceil(Math.log2(count + 1)))),
      width,
      count,
      touched: false,
    };
    tf.dispose([tokens, kept]);
    this.entries.set(name, entry);
    this.byTensor.set(entry.rows, entry);
    this.known = undefined;
    return entry.rows;
  }

  /** Begins a step: every cache gets room for one more token. Gives the tensors that had to move, each with its new one. */
  makeRoom(): ReadonlyMap<Tensor, Tensor> {
    this.feeds.clear();
    const moved = new Map<Tensor, Tensor>();
    for (const entry of this.entries.values()) {
      if (entry.count < capacityOf(entry)) continue;
      const before = entry.rows;
      entry.rows = roomier(before, 2 * entry.count);
      moved.set(before, entry.rows);
      this.byTensor.delete(before);
      this.byTensor.set(entry.rows, entry);
      before.dispose();
    }
    return moved;
  }

  /** A further token, row [.., 1, width]. */
  append(name: string, row: Tensor): Cache {
    let entry = this.entries.get(name);
    if (!entry) {
      entry = { rows: emptyLike(row, this.halves), width: row.shape[row.rank - 1]!, count: 0, touched: false };
      this.entries.set(name, entry);
      this.byTensor.set(entry.rows, entry);
      this.known = undefined;
    }
    const { rows, width } = entry;
    const { at, length } = this.feed(entry);
    const written = this.halves
      ? overwrite('HalvesAppend', { cache: rows, row, at }, { width }, { cache: rows })
      : overwrite('CacheAppend', { cache: rows, row, at }, {}, { cache: rows });
    if (!written) throw new Error(`internal: the cache ${name} is shared, so a token can not be written into it`);
    entry.touched = true;
    return this.halves ? { rows, length, width } : { rows, length };
  }

  /** What the calls of a step depend on: how far each cache is behind the longest. Capacities show in the shapes of the state. */
  get key(): string {
    if (this.known === undefined) {
      const counts = [...this.entries.values()].map(({ count }) => count);
      const most = Math.max(0, ...counts);
      this.known = counts.every((count) => count === most) ? '' : counts.map((count) => most - count).join();
    }
    return this.known;
  }

  /** Whether the current step has appended to every cache. */
  get complete(): boolean {
    return [...this.entries.values()].every(({ touched }) => touched);
  }

  /** Ends a step that was computed: the caches that it has appended to hold a token more. */
  advance(): void {
    this.known = undefined;
    for (const entry of this.entries.values()) {
      if (entry.touched) entry.count += 1;
      entry.touched = false;
    }
  }

  /** Ends a step that was played back: it has appended to every cache. */
  advanceAll(): void {
    for (const entry of this.entries.values()) entry.count += 1;
  }

  /** Forgets the newest `tokens` of every cache. */
  setBack(tokens: number): void {
    for (const entry of this.entries.values()) entry.count -= tokens;
  }

  holds(tensor: Tensor): boolean {
    return this.byTensor.has(tensor);
  }

  /** Bytes that count in a tensor of the state: of a cache those of its tokens. */
  bytesIn(tensor: Tensor): number {
    const entry = this.byTensor.get(tensor);
    return 4 * (entry ? (tensor.size / capacityOf(entry)) * entry.count : tensor.size);
  }

  dispose(): void {
    for (const { rows } of this.entries.values()) rows.dispose();
    this.entries.clear();
    this.byTensor.clear();
  }

  private feed(entry: Entry): { at: Tensor; length: Tensor } {
    const known = this.feeds.get(entry.count);
    if (known) return known;
    const tensors = {
      at: fed(() => Int32Array.of(entry.count), [1], 'int32'),
      length: fed(() => Int32Array.of(entry.count + 1), [1], 'int32'),
    };
    this.feeds.set(entry.count, tensors);
    return tensors;
  }
}

/** A cache with room for the first tokens, of which `row` [.., 1, width] is to be one. */
function emptyLike(row: Tensor, halves: boolean): Tensor {
  const shape = row.shape.slice();
  shape[row.rank - 2] = ROOM;
  if (!halves) return tf.keep(own(tf.zeros(shape)));
  return tf.keep(tf.tidy(() => runKernel('HalvesOf', { x: tf.zeros(shape) }, {}).words));
}

/** The tokens of a tensor [.., n, width] at the start of one with room for `capacity`, kept, in memory of its own. */
function roomier(tokens: Tensor, capacity: number): Tensor {
  if (tokens.dtype === 'int32') return tf.keep(runKernel('HalvesRoom', { cache: tokens }, { room: capacity }).roomy);
  const rest = tokens.shape.slice();
  rest[tokens.rank - 2] = capacity - tokens.shape[tokens.rank - 2]!;
  return tf.keep(
    tf.tidy(() => (rest.includes(0) ? own(tokens) : tf.concat([tokens, tf.zeros(rest)], tokens.rank - 2))),
  );
}
