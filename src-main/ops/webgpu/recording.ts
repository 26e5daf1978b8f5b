// What one step asks of the GPU: the dispatches and copies, and where each buffer that they touch comes from.
import type { TensorInfo } from '@tensorflow/tfjs-core';

export type Values = Float32Array | Int32Array;
type DataId = TensorInfo['dataId'];

/** A buffer as the commands know it. */
export type Place =
  | { kind: 'made' } // written by the step before it is read
  | { kind: 'constant'; values: Values } // written by JavaScript, the same in each step
  | { kind: 'fed'; buffer: GPUBuffer; read(): Values } // written by JavaScript before each step
  | { kind: 'kept'; buffer: GPUBuffer; dataId: DataId | undefined; written: boolean }; // there before: weights and the like

export type Command =
  | { kind: 'dispatch'; pipeline: GPUComputePipeline; bindGroup: GPUBindGroup; groups: readonly number[] }
  | { kind: 'copy'; source: GPUBuffer; target: GPUBuffer };

/** A buffer that a command touches. `info` is its tensor, if it has one. */
export interface Touched {
  buffer: GPUBuffer;
  writable: boolean;
  info?: TensorInfo;
  /** The first number of it that is seen; default 0. */
  from?: number;
}

export class Recording {
  readonly commands: Command[] = [];
  readonly places: Place[] = [];
  /** Of each command what must be the same in the next step: its numbers and the places it touches. */
  readonly signature: (string | GPUComputePipeline)[] = [];
  /** Why the step can't be played back; undefined as long as it can. */
  obstacle: string | undefined;
  /** Its buffers that a tensor has at present. */
  readonly taken = new Set<GPUBuffer>();
  private readonly idle = new Map<number, GPUBuffer[]>();
  /** Those whose numbers JavaScript gave serve no other tensor. */
  private readonly pinned = new Set<GPUBuffer>();
  private readonly rest: GPUBuffer[] = [];
  private readonly byBuffer = new Map<GPUBuffer, number>();
  private readonly uploads = new Map<GPUBuffer, Place>();

  /** A buffer of its own that no tensor has any more. */
  spare(size: number): GPUBuffer | undefined {
    return this.idle.get(size)?.pop();
  }

  take(buffer: GPUBuffer, written: boolean): void {
    this.taken.add(buffer);
    if (written) this.pinned.add(buffer);
  }

  give(buffer: GPUBuffer): void {
    this.taken.delete(buffer);
    const list = this.idle.get(buffer.size);
    if (this.pinned.has(buffer)) this.rest.push(buffer);
    else if (list) list.push(buffer);
    else this.idle.set(buffer.size, [buffer]);
  }

  /** Its buffers that no tensor has. */
  get unused(): GPUBuffer[] {
    return [...this.idle.values(), this.rest].flat();
  }

  get bytes(): number {
    return [...this.unused, ...this.taken].reduce((sum, { size }) => sum + size, 0);
  }

  /** Contents that JavaScript gave a buffer; with `read`, gives anew before each step. */
  upload(buffer: GPUBuffer, values: Values, read: (() => Values) | undefined): void {
    this.uploads.set(buffer, read ? { kind: 'fed', buffer, read } : { kind: 'constant', values: values.slice() });
  }

  dispatch(
    pipeline: GPUComputePipeline,
    bindGroup: GPUBindGroup,
    groups: readonly number[],
    touched: readonly Touched[],
    numbers: string,
  ): void {
    this.commands.push({ kind: 'dispatch', pipeline, bindGroup, groups });
    const seen = touched.map((one) => `${this.place(one)}+${one.from ?? 0}`);
    this.signature.push(pipeline, `${groups} ${seen} ${numbers}`);
  }

  copy(source: Touched, target: Touched): void {
    this.commands.push({ kind: 'copy', source: source.buffer, target: target.buffer });
    this.signature.push(`${this.place(source)} to ${this.place(target)}`);
  }

  /** Ends the recording: a tensor that it leaves behind, its result apart, would be overwritten by the next step. */
  close(result: GPUBuffer | undefined): void {
    for (const buffer of this.taken)
      if (buffer !== result) this.obstacle ??= 'it leaves tensors behind for the next step';
    if (!result || this.places[this.byBuffer.get(result) ?? -1]?.kind !== 'made')
      this.obstacle ??= 'its result is none of its commands’';
  }

  private place({ buffer, writable, info }: Touched): number {
    let index = this.byBuffer.get(buffer);
    if (index === undefined) {
      index = this.places.length;
      this.byBuffer.set(buffer, index);
      const own: Place | undefined =
        this.uploads.get(buffer) ?? (this.taken.has(buffer) ? { kind: 'made' } : undefined);
      this.places.push(own ?? { kind: 'kept', buffer, dataId: info?.dataId, written: false });
    }
    const place = this.places[index];
    if (writable && place.kind === 'kept') place.written = true;
    if (writable && (place.kind === 'constant' || place.kind === 'fed'))
      this.obstacle ??= 'it writes over numbers that JavaScript gave';
    return index;
  }
}

/** Why two steps were not the same commands on the same constants; undefined if they were. */
export function difference(a: Recording, b: Recording): string | undefined {
  const same = a.signature.length === b.signature.length && a.signature.every((one, i) => one === b.signature[i]);
  if (!same || a.places.length !== b.places.length) return 'its commands differ from step to step';
  for (const [i, place] of a.places.entries()) {
    const other = b.places[i];
    if (place.kind !== other.kind) return 'its tensors differ from step to step';
    if (place.kind === 'kept' && other.kind === 'kept' && place.buffer !== other.buffer)
      return 'a weight moves from step to step';
    if (place.kind === 'constant' && other.kind === 'constant' && !sameBytes(place.values, other.values))
      return 'numbers in it that JavaScript computes differ from step to step';
  }
  return undefined;
}

const sameBytes = (a: Values, b: Values): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));
