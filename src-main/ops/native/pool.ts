// The caching allocator: typed arrays made by JavaScript (Electron allows no others), kept by length for the next tensor of that size, and what lives long side by side.
import { totalmem } from 'node:os';

export type Numbers = Float32Array | Int32Array;

/** A quarter of the machine's memory, between 256 MiB and 4 GiB; ARCHLAB_POOL_MB sets another. */
const defaultCap = (): number => {
  const asked = Number(process.env.ARCHLAB_POOL_MB);
  return asked > 0 ? asked * 2 ** 20 : Math.min(Math.max(totalmem() / 4, 2 ** 28), 2 ** 32);
};

const LINE = 64; // bytes of a cache line, and of the widest vector
const LARGE_PAGE = 2 ** 21;
/** Arrays of fewer bytes lie where JavaScript puts them. */
const LEAST = 256;
/** Stretches of as many bytes begin with a large page and fill the last one. */
const LARGE = 2 ** 20;

/** See `home` in addon.ts. */
type Home = (memory: Uint8Array, align: number) => number;

/** Free arrays by length. Their contents are whatever the last user left (NaN while `poison` is on). */
export class Pool {
  /** Bytes lying free. */
  freeBytes = 0;
  /** Fill each array before it is handed out: NaN, or the lowest int32. For tests. */
  poison = false;
  private readonly floats = new Map<number, Float32Array[]>();
  private readonly ints = new Map<number, Int32Array[]>();
  private readonly ours = new WeakSet<ArrayBufferLike>();
  private readonly stretches = new WeakSet<ArrayBufferLike>();

  constructor(
    private readonly home: Home,
    readonly capBytes: number = defaultCap(),
  ) {}

  /** An array of `length` floats with arbitrary contents. */
  takeFloats(length: number): Float32Array {
    const free = this.floats.get(length)?.pop();
    if (free) this.freeBytes -= free.byteLength;
    const array = free ?? new Float32Array(...this.fresh(4 * length), length);
    return this.poison ? array.fill(Number.NaN) : array;
  }

  /** An array of `length` int32 with arbitrary contents. */
  takeInts(length: number): Int32Array {
    const free = this.ints.get(length)?.pop();
    if (free) this.freeBytes -= free.byteLength;
    const array = free ?? new Int32Array(...this.fresh(4 * length), length);
    return this.poison ? array.fill(-(2 ** 31)) : array;
  }

  /**
   * Copies of arrays that live long and are let go together, side by side in one stretch of memory on large pages: a line of each then comes sooner than
   * where each lies on small pages of its own. The pool does not hand them out again; the stretch goes with the last of them.
   */
  together<T extends Numbers>(arrays: readonly T[]): T[] {
    const offsets: number[] = [];
    let bytes = 0;
    for (const { byteLength } of arrays) {
      offsets.push(bytes);
      bytes += Math.ceil(byteLength / LINE) * LINE;
    }
    const large = bytes >= LARGE;
    const [buffer, start] = this.fresh(
      large ? Math.ceil(bytes / LARGE_PAGE) * LARGE_PAGE : bytes,
      large ? LARGE_PAGE : LINE,
    );
    this.stretches.add(buffer);
    return arrays.map((array, i) => {
      const Kind = array.constructor as new (buffer: ArrayBuffer, offset: number, length: number) => T;
      const copy = new Kind(buffer, start + offsets[i], array.length);
      copy.set(array);
      return copy;
    });
  }

  /** Takes back an array that nobody uses any more. */
  give(array: Numbers): void {
    if (this.stretches.has(array.buffer)) return;
    // Rarely: sizes of yesterday's shapes fill the pool. Letting all go costs one step of fresh arrays.
    if (this.freeBytes + array.byteLength > this.capBytes) this.clear();
    if (array.byteLength > this.capBytes) return;
    this.freeBytes += array.byteLength;
    if (array instanceof Float32Array) push(this.floats, array);
    else push(this.ints, array);
  }

  clear(): void {
    this.floats.clear();
    this.ints.clear();
    this.freeBytes = 0;
  }

  /** True if the array lies in memory of this pool, which may hold another tensor later, even if it is only a view into it. */
  owns(array: { buffer: ArrayBufferLike }): boolean {
    return this.ours.has(array.buffer);
  }

  /** Memory that nobody has written, and its first multiple of `align` with so many bytes behind it. */
  private fresh(bytes: number, align = LINE): [ArrayBuffer, number] {
    const buffer = new ArrayBuffer(bytes < LEAST ? bytes : bytes + align);
    this.ours.add(buffer);
    return [buffer, bytes < LEAST ? 0 : this.home(new Uint8Array(buffer), align)];
  }
}

function push<T extends Numbers>(lists: Map<number, T[]>, array: T): void {
  const list = lists.get(array.length);
  if (list) list.push(array);
  else lists.set(array.length, [array]);
}
