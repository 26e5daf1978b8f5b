// Recorded steps as programs of the addon: one call plays all kernels of a step, over memory laid out for it.
import type { NativeBackend } from './backend';
import { findHalves, markHalves } from './halves';
import { findOverlays, overOf, spansOf } from './overlay';
import { planMemory } from './plan';
import type { Place, Recording } from './recording';

/** What takes longer than this goes on a thread of its own when it is to be stopped: half of the time in which a run should obey. */
const LONG_MS = 20;

let arenaBytes = 0;
/** Bytes of all arenas. */
export const arenasBytes = (): number => arenaBytes;

/** Memory that programs of one model share: only one of them runs at a time, and none leaves anything in it. */
export class Arena {
  private memory = new Float32Array(0);
  private readonly programs = new Set<Program>();

  get bytes(): number {
    return this.memory.byteLength;
  }

  /** The memory, which holds at least the program's bytes from its first multiple of 64 on. */
  join(program: Program): Float32Array {
    this.programs.add(program);
    if (this.bytes < program.bytes + 64) {
      this.resize(program.bytes / 4 + 16);
      for (const other of this.programs) if (other !== program) other.bind(this.memory);
    }
    return this.memory;
  }

  leave(program: Program): void {
    this.programs.delete(program);
    if (!this.programs.size) this.resize(0);
  }

  private resize(floats: number): void {
    arenaBytes -= this.bytes;
    this.memory = new Float32Array(floats);
    arenaBytes += this.bytes;
  }

  /** Fills it with NaN: whatever a program reads before writing it shows. */
  poison(): void {
    this.memory.fill(Number.NaN);
  }
}

export class Program {
  /** What its step needs of the arena. */
  readonly bytes: number;
  /** What the step was asked to give, after `playFirst`. */
  readonly result: Float32Array;
  /** How many of its buffers hold bfloat16. */
  readonly halves: number;
  private readonly code: Float64Array;
  private readonly places: Float64Array;
  private readonly outside: Exclude<Place, { kind: 'made' }>[];
  private readonly feeds: Extract<Place, { kind: 'fed' }>[];
  private readonly calls: number;
  /** Of each tensor of before the step. */
  private readonly holding: readonly (() => boolean)[];
  private number: number | undefined;
  /** Milliseconds that the first half took last time. */
  private firstMs = Number.POSITIVE_INFINITY;

  /**
   * @param cut calls before it are the first half.
   * @param result the place of `length` floats that the first half computes and JavaScript reads.
   */
  constructor(
    private readonly backend: NativeBackend,
    private readonly arena: Arena,
    recording: Recording,
    private readonly cut: number,
    { place, length }: { place: Place; length: number },
  ) {
    this.calls = recording.calls;
    this.result = new Float32Array(length);
    const all = recording.places.map(
      (one): Place => (one === place ? { kind: 'constant', index: one.index, array: this.result } : one),
    );
    const halves = findHalves(recording.code, all, backend.addon.halves(Float64Array.from(recording.code)));
    this.code = markHalves(recording.code, halves);
    this.halves = halves.filter(Boolean).length;
    const names = backend.addon.kernels();
    const below = findOverlays(recording.code, all, halves, (kernel) => overOf(names[kernel]));
    const { spans, spanOf } = spansOf(all, halves, below);
    const { offsets, bytes } = planMemory(spans);
    this.bytes = bytes;
    this.outside = all.filter((one) => one.kind !== 'made');
    this.feeds = all.filter((one) => one.kind === 'fed');
    this.places = new Float64Array(2 * all.length); // memory and offset of each place; the arena is the last memory
    for (const [index, span] of spanOf) this.places.set([this.outside.length, offsets[span]], 2 * index);
    for (const [i, { index }] of this.outside.entries()) this.places.set([i, 0], 2 * index);
    this.holding = this.outside.flatMap((one) =>
      one.kind === 'kept' ? [backend.watch(one.dataId, one.array, one.written)] : [],
    );
    this.bind(arena.join(this));
  }

  /** Tells the addon where the arena lies. */
  bind(memory: Float32Array): void {
    this.forget();
    this.number = this.backend.addon.program(this.code, this.places, [
      ...this.outside.map(({ array }) => array),
      memory,
    ]);
  }

  /** False once a tensor of before the step, a weight say, is gone or lies elsewhere, or another one shares what the step writes to. */
  get valid(): boolean {
    return this.holding.every((holds) => holds());
  }

  /** Computes the result. */
  playFirst(): void {
    this.prepare(0, this.cut);
    this.backend.addon.play(this.number!, 0, this.cut);
  }

  /**
   * The same, but if it takes long JavaScript goes on meanwhile, and the signal can stop it between two calls.
   * @throws the signal's reason if it did; then only the arena has changed.
   */
  async playFirstUnless(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const start = performance.now();
    if (this.firstMs < LONG_MS) this.playFirst();
    else {
      this.prepare(0, this.cut);
      const stop = () => this.backend.addon.stop(this.number!);
      signal.addEventListener('abort', stop, { once: true });
      try {
        if (!(await this.backend.addon.playLater(this.number!, 0, this.cut))) throw signal.reason;
      } finally {
        signal.removeEventListener('abort', stop);
      }
    }
    this.firstMs = performance.now() - start;
  }

  /** What is to be done with it; may be left out. */
  playSecond(): void {
    this.prepare(this.cut, this.calls);
    this.backend.addon.play(this.number!, this.cut, this.calls);
  }

  dispose(): void {
    this.forget();
    this.arena.leave(this);
  }

  /** Feeds the calls `from` to `to - 1`. */
  private prepare(from: number, to: number): void {
    if (from === 0 && this.backend.pool.poison) this.arena.poison();
    for (const { first, array, read } of this.feeds) if (first >= from && first < to) array.set(read());
  }

  private forget(): void {
    if (this.number !== undefined) this.backend.addon.forget(this.number);
    this.number = undefined;
  }
}
