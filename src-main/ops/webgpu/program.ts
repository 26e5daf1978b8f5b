// Recorded steps as programs: their commands encoded anew, in one submission, over buffers of their own.
import type { Tensor } from '@tensorflow/tfjs-core';
import type { FusedBackend } from './dispatch';
import type { Place, Recording } from './recording';

type Of<K extends Place['kind']> = Extract<Place, { kind: K }>;

let programBytes = 0;
/** Bytes of the buffers of all programs. */
export const programsBytes = (): number => programBytes;

export class GpuProgram {
  /** Bytes of its buffers. */
  readonly bytes: number;
  private readonly fed: Of<'fed'>[];
  private readonly kept: Of<'kept'>[];
  private readonly result: GPUBuffer;
  private readonly staging: GPUBuffer;
  private reading: Promise<unknown> | undefined;
  private played = false;

  /** @param result what a step is asked to give, float32. */
  constructor(
    private readonly backend: FusedBackend,
    private readonly recording: Recording,
    result: Tensor,
  ) {
    const { places } = recording;
    this.fed = places.filter((place) => place.kind === 'fed');
    this.kept = places.filter((place) => place.kind === 'kept');
    this.result = backend.bufferOf(result);
    this.staging = backend.device.createBuffer({
      size: this.result.size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    this.bytes = recording.bytes;
    programBytes += this.bytes;
  }

  /** False once a tensor of before the step, a weight say, is gone or lies elsewhere, or another one shares what the step writes to. */
  get valid(): boolean {
    const { backend } = this;
    return this.kept.every(
      ({ buffer, dataId, written }) =>
        !dataId || (backend.holds(dataId, buffer) && !(written && backend.refCount(dataId) > 1)),
    );
  }

  /** One step, in one submission. With `read`, its result once the GPU is through; without, nothing waits. */
  async play(read: boolean): Promise<Float32Array | undefined> {
    await this.reading;
    const { backend, staging } = this;
    for (const { buffer, read: values } of this.fed)
      backend.queue.writeBuffer(buffer, 0, values() as Float32Array<ArrayBuffer>);
    for (const { dataId, written } of this.kept) if (written && dataId) backend.forgetValues({ dataId });
    backend.replay(this.recording.commands);
    if (read) backend.replay([{ kind: 'copy', source: this.result, target: staging }]);
    backend.flush();
    if (!this.played) backend.trim(); // what the ordinary steps worked in
    this.played = true;
    if (!read) return undefined;
    this.reading = staging.mapAsync(GPUMapMode.READ);
    await this.reading;
    const values = new Float32Array(staging.getMappedRange().slice(0));
    staging.unmap();
    this.reading = undefined;
    return values;
  }

  dispose(): void {
    programBytes -= this.bytes;
    this.backend.forget(this.recording);
    this.staging.destroy();
  }
}
