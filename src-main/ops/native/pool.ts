// The caching allocator: typed arrays made by JavaScript (Electron allows no others), kept by length for the next tensor of that size.
import { totalmem } from 'node:os';

export type Numbers = Float32Array | Int32Array;

/** A quarter of the machine's memory, between 256 MiB and 4 GiB; ARCHLAB_POOL_MB sets another. */
const defaultCap = (): number => {
  const asked = Number(process.env.ARCHLAB_POOL_MB);
  return asked > 0 ? asked * 2 ** 20 : Math.min(Math.max(totalmem() / 4, 2 ** 28), 2 ** 32);
};

/** Free arrays by length. Their contents are whatever the last user left (NaN while `poison` is on). */
export class Pool {
  /** Bytes lying free. */
  freeBytes = 0;
  /** Fill each array before it is handed out: NaN, or the lowest int32. For tests. */
  poison = false;
  private readonly floats = new Map<number, Float32Array[]>();
  private readonly ints = new Map<number, Int32Array[]>();
  private readonly ours = new WeakSet<ArrayBufferLike>();

  constructor(readonly capBytes: number = defaultCap()) {}

  /** An array of `length` floats with arbitrary contents. */
  takeFloats(length: number): Float32Array {
    const free = this.floats.get(length)?.pop();
    if (free) this.freeBytes -= free.byteLength;
    const array = free ?? this.own(new Float32Array(length));
    return this.poison ? array.fill(Number.NaN) : array;
  }

  /** An array of `length` int32 with arbitrary contents. */
  takeInts(length: number): Int32Array {
    const free = this.ints.get(length)?.pop();
    if (free) this.freeBytes -= free.byteLength;
    const array = free ?? this.own(new Int32Array(length));
    return this.poison ? array.fill(-(2 ** 31)) : array;
  }

  /** Takes back an array that nobody uses any more. */
  give(array: Numbers): void {
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

  /** True if the array lies in memory that this pool may hand out again, even if it is only a view into it. */
  owns(array: { buffer: ArrayBufferLike }): boolean {
    return this.ours.has(array.buffer);
  }

  private own<T extends Numbers>(array: T): T {
    this.ours.add(array.buffer);
    return array;
  }
}

function push<T extends Numbers>(lists: Map<number, T[]>, array: T): void {
  const list = lists.get(array.length);
  if (list) list.push(array);
  else lists.set(array.length, [array]);
}
