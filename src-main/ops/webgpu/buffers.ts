// The buffers of the WebGPU device: each is kept for the next tensor of its size; those of a step that is being recorded, for that step alone.
import type { Recording } from './recording';

const keyOf = (size: number, usage: number) => `${size}_${usage}`;

/** Stands in for TF.js's BufferManager, and is called by it in the same way. */
export class Buffers {
  /** Bytes of tensors alive, and of all buffers. */
  numBytesUsed = 0;
  numBytesAllocated = 0;
  /** Takes its storage buffers from here on. */
  recording: Recording | undefined;
  private readonly free = new Map<string, GPUBuffer[]>();
  private readonly owners = new WeakMap<GPUBuffer, Recording>();
  private used = 0;

  constructor(private readonly device: GPUDevice) {}

  acquireBuffer(size: number, usage: number, mappedAtCreation = false, reuse = true): GPUBuffer {
    this.used += 1;
    this.numBytesUsed += size;
    const { recording } = this;
    if (recording && usage & GPUBufferUsage.STORAGE) {
      const known = mappedAtCreation ? undefined : recording.spare(size);
      const buffer = known ?? this.create(size, usage, mappedAtCreation);
      if (!known) this.owners.set(buffer, recording);
      recording.take(buffer, mappedAtCreation);
      return buffer;
    }
    return (reuse ? this.free.get(keyOf(size, usage))?.pop() : undefined) ?? this.create(size, usage, mappedAtCreation);
  }

  releaseBuffer(buffer: GPUBuffer, reuse = true): void {
    this.used -= 1;
    this.numBytesUsed -= buffer.size;
    const owner = this.owners.get(buffer);
    if (owner) owner.give(buffer);
    else if (reuse) this.keep(buffer);
    else {
      buffer.destroy();
      this.numBytesAllocated -= buffer.size;
    }
  }

  /** Makes the buffers of a recording common property: those that no tensor has serve the next ones. */
  takeBack({ unused, taken }: Recording): void {
    for (const buffer of taken) this.owners.delete(buffer);
    for (const buffer of unused) {
      this.owners.delete(buffer);
      this.keep(buffer);
    }
  }

  getNumUsedBuffers(): number {
    return this.used;
  }

  getNumFreeBuffers(): number {
    return [...this.free.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** Gives up those that no tensor has. */
  trim(): void {
    for (const buffer of [...this.free.values()].flat()) {
      buffer.destroy();
      this.numBytesAllocated -= buffer.size;
    }
    this.free.clear();
  }

  dispose(): void {
    this.trim();
  }

  private create(size: number, usage: number, mappedAtCreation: boolean): GPUBuffer {
    this.numBytesAllocated += size;
    return this.device.createBuffer({ size, usage, mappedAtCreation });
  }

  private keep(buffer: GPUBuffer): void {
    const key = keyOf(buffer.size, buffer.usage);
    const list = this.free.get(key);
    if (list) list.push(buffer);
    else this.free.set(key, [buffer]);
  }
}
