// What one step asks of the addon, as plain data: the calls, and where each array that they touch comes from.
import type { TensorInfo } from '@tensorflow/tfjs-core';

export type AnyArray = Float32Array | Int32Array | Uint8Array;
type DataId = TensorInfo['dataId'];

/** An array as the calls know it. `index` counts by first use; -1 before it. */
export type Place = { index: number } & (
  | { kind: 'made'; bytes: number; first: number; last: number; gone: boolean } // between calls `first` and `last`; `gone`: its tensor is disposed of
  | { kind: 'constant'; array: AnyArray } // written by JavaScript, the same in each step
  | { kind: 'fed'; array: AnyArray; first: number; read(): ArrayLike<number> } // written by JavaScript before call `first` of each step
  | { kind: 'kept'; array: AnyArray; dataId: DataId; written: boolean } // there before the step: weights and the like
);
export type Made = Extract<Place, { kind: 'made' }>;

export class Recording {
  /** As the addon's `program` takes it, all arrays of 32 bits. */
  readonly code: number[] = [];
  readonly places: Place[] = [];
  calls = 0;
  /** Why the step can't be played back; undefined as long as it can. */
  obstacle: string | undefined;
  private readonly byArray = new Map<AnyArray, Place>();
  private readonly made: Made[] = [];

  /** A new tensor's buffer with arbitrary contents. */
  make(array: AnyArray): void {
    const place: Made = { kind: 'made', index: -1, bytes: array.byteLength, first: -1, last: -1, gone: false };
    this.made.push(place);
    this.byArray.set(array, place);
  }

  /** A new tensor's buffer with contents from JavaScript. */
  write(array: AnyArray): void {
    this.byArray.set(array, { kind: 'constant', index: -1, array });
  }

  /** Contents that `read` gives anew before each step. */
  feed(array: AnyArray, read: () => ArrayLike<number>): void {
    this.byArray.set(array, { kind: 'fed', index: -1, array, first: -1, read });
  }

  /** No tensor has this buffer any more. */
  free(array: AnyArray): void {
    const place = this.byArray.get(array);
    if (place?.kind === 'made') place.gone = true;
  }

  call(
    kernel: number,
    infos: readonly (TensorInfo | undefined)[],
    arrays: readonly (AnyArray | undefined)[],
    inputs: number,
    ints: readonly number[],
    floats: readonly number[],
  ): void {
    this.code.push(kernel, 0, inputs, arrays.length - inputs, ints.length, floats.length);
    for (const [i, array] of arrays.entries()) {
      const place = array && this.use(array, infos[i]!.dataId);
      this.code.push(place ? place.index : -1);
      if (place?.kind === 'made') place.last = this.calls;
      if (place?.kind === 'kept' && i >= inputs) place.written = true;
    }
    for (const value of ints) this.code.push(value);
    for (const value of floats) this.code.push(value);
    this.calls += 1;
  }

  /** What JavaScript wants to read after the step, or undefined if no call makes it. */
  find(array: AnyArray): Made | undefined {
    const place = this.byArray.get(array);
    return place?.kind === 'made' && place.index >= 0 ? place : undefined;
  }

  /** Ends the recording: tensors that the step leaves behind have no place in memory that the next step overwrites. */
  close(): void {
    if (this.made.some(({ gone }) => !gone)) this.obstacle ??= 'it leaves tensors behind for the next step';
    this.byArray.clear();
  }

  private use(array: AnyArray, dataId: DataId): Place {
    let place = this.byArray.get(array);
    if (!place) {
      place = { kind: 'kept', index: -1, array, dataId, written: false };
      this.byArray.set(array, place);
    }
    if (place.index < 0) {
      place.index = this.places.length;
      this.places.push(place);
      if ('first' in place) place.first = this.calls;
    }
    return place;
  }
}

/** Why two steps were not the same calls on the same constants; undefined if they were. */
export function difference(a: Recording, b: Recording): string | undefined {
  const sameCalls = a.code.length === b.code.length && a.code.every((value, i) => Object.is(value, b.code[i]));
  if (!sameCalls || a.places.length !== b.places.length) return 'its calls differ from step to step';
  for (const [i, place] of a.places.entries()) {
    const other = b.places[i];
    if (place.kind !== other.kind) return 'its tensors differ from step to step';
    if (place.kind === 'made' || other.kind === 'made') continue;
    if (place.kind === 'kept' && place.array !== other.array) return 'a weight moves from step to step';
    if (place.kind === 'constant' && !sameBytes(place.array, other.array))
      return 'numbers in it that JavaScript computes differ from step to step';
  }
  return undefined;
}

const sameBytes = (a: AnyArray, b: AnyArray): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));
