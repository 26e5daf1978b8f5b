// The TF.js backend `webgpu`: every dispatch, TF.js's and ours, goes through one place that encodes it and, while a step is recorded, takes it down.
import type { BackendValues, TensorInfo } from '@tensorflow/tfjs-core';
import { util } from '@tensorflow/tfjs-core';
import type { DType, Shape } from '../../../kernels/core/kernel';
import { sizeOf } from '../../../kernels/core/kernel';
import type { Grants } from '../../../kernels/core/plan';
import * as tf from '../tf';
import { Buffers } from './buffers';
import type { Command, Recording, Touched, Values } from './recording';
import { RepairedBackend } from './repairs';
import { type Field, pack, Uniforms } from './uniforms';

/** What TF.js 4.22 declares private: its encoder, what the next submission holds, and the method that dispatches its programs. */
interface Inside {
  commandEncoder: GPUCommandEncoder | null;
  computePassEncoder: GPUComputePassEncoder | null;
  commandQueueOwnedIds: WeakSet<object>;
  dispatchCountInPass: number;
  recordAndSubmit(program: Program, output: TensorInfo, inputs: TensorInfo[], fields?: Field[]): void;
}

/** A program of TF.js, as far as dispatching it goes. */
interface Program {
  pipeline: GPUComputePipeline;
  dispatch: [number, number, number];
  outputShape: number[];
  outputComponent?: number;
  size?: boolean;
}

/** A tensor for the storage variable at `binding`; without one a few bytes are bound that nothing reads: the kernel has no such input or output. */
export interface Bound {
  binding: number;
  writable: boolean;
  info?: TensorInfo;
  /** Its first number that is bound; default 0. */
  from?: number;
}

export class FusedBackend extends RepairedBackend {
  /** Test mode: fresh tensors hold NaN, so that whatever is read before it is written shows. */
  poison = false;
  /** Whether inputs of matrix products are rounded to bfloat16. */
  rounding = false;
  /** Times that commands went to the GPU. */
  submissions = 0;
  private readonly buffers: Buffers;
  private readonly uniforms: Uniforms;
  private readonly spares: GPUBuffer[] = [];
  private readonly layouts = new WeakMap<GPUComputePipeline, GPUBindGroupLayout>();
  private readonly feeds = new WeakMap<object, () => Values>();
  private nans: GPUBuffer | undefined;

  /** @param grants what plans and shaders may make use of on this device. */
  constructor(
    device: GPUDevice,
    info: GPUAdapterInfo,
    public grants: Grants,
  ) {
    super(device, info);
    this.buffers = new Buffers(device);
    (this as { bufferManager: unknown }).bufferManager = this.buffers;
    this.uniforms = new Uniforms(device);
    this.inside.recordAndSubmit = (...call) => this.runProgram(...call);
  }

  private get inside(): Inside {
    return this as unknown as Inside;
  }

  /** Takes down what is done from here on. */
  get recording(): Recording | undefined {
    return this.buffers.recording;
  }

  set recording(recording: Recording | undefined) {
    this.buffers.recording = recording;
  }

  /** Makes the buffers of a recording that is not wanted any more common property. */
  forget(recording: Recording): void {
    this.buffers.takeBack(recording);
  }

  /** A tensor whose numbers are yet to be written. */
  fresh(shape: Shape, dtype: DType): TensorInfo {
    const size = sizeOf(shape);
    const info = this.makeTensorInfo([...shape], dtype, size === 0 ? new Float32Array(0) : undefined);
    if (size === 0) return info;
    this.uploadToGPU(info.dataId);
    if (this.poison) this.encodeCopy({ buffer: this.notNumbers(4 * size), writable: false }, this.touch(info, true));
    return info;
  }

  /** Contents of a tensor just made from JavaScript are made anew by `read` when the recorded step is played. */
  feed({ dataId }: TensorInfo, read: () => Values): void {
    this.feeds.set(dataId, read);
  }

  /** Copies the numbers of a tensor into another of the same size. */
  copy(source: TensorInfo, target: TensorInfo): void {
    if (sizeOf(source.shape) === 0) return;
    this.encodeCopy(this.touch(source, false), this.touch(target, true));
    this.forgetValues(target);
  }

  /** True if nobody else sees when the tensor's numbers change. */
  mayOverwrite({ dataId, shape }: TensorInfo): boolean {
    return sizeOf(shape) > 0 && this.refCount(dataId) === 1;
  }

  /** True if the tensor's data is there and lies in this buffer. */
  holds(dataId: object, buffer: GPUBuffer): boolean {
    return this.tensorMap.has(dataId) && this.tensorMap.get(dataId).resource === buffer;
  }

  /** The numbers of a tensor changed on the GPU: what was read of it before says nothing any more. */
  forgetValues({ dataId }: Pick<TensorInfo, 'dataId'>): void {
    this.uploadToGPU(dataId);
    (this.tensorMap.get(dataId) as { values: BackendValues | null }).values = null;
  }

  /** The tensor's buffer on the GPU. */
  bufferOf(info: TensorInfo): GPUBuffer {
    this.uploadToGPU(info.dataId);
    return this.tensorMap.get(info.dataId).resource as GPUBuffer;
  }

  /** Records one dispatch of ours. The uniform is bound at `uniformAt`. */
  dispatch(
    pipeline: GPUComputePipeline,
    tensors: readonly Bound[],
    uniform: ArrayBuffer,
    uniformAt: number,
    groups: [number, number],
  ): void {
    const bindings = tensors.map(({ binding, writable, info, from = 0 }) => {
      const there = info && sizeOf(info.shape) > 0;
      const touched = there ? this.touch(info, writable) : { buffer: this.spare(writable ? binding : 0), writable };
      return { binding, ...touched, from };
    });
    this.encode(pipeline, bindings, uniform, uniformAt, groups);
  }

  /** Submits what is encoded, if anything is. */
  flush(): void {
    this.endComputePassEncoder();
    if (this.inside.commandEncoder) this.submitQueue();
  }

  /** Gives up buffers that no tensor has. Only between submissions. */
  trim(): void {
    this.buffers.trim();
  }

  /** Encodes recorded commands once more. */
  replay(commands: readonly Command[]): void {
    for (const command of commands) {
      if (command.kind === 'copy') this.copyBuffers(command.source, command.target);
      else this.put(command.pipeline, command.bindGroup, command.groups);
    }
  }

  override uploadToGPU(dataId: object): void {
    const entry = this.tensorMap.get(dataId);
    if (entry.resource != null) return;
    const { values } = entry;
    super.uploadToGPU(dataId);
    if (values && this.recording)
      this.recording.upload(entry.resource as unknown as GPUBuffer, values as Values, this.feeds.get(dataId));
  }

  /**
   * TF.js keeps a buffer back until its commands are submitted. But later commands of the same submission run after them, and uploads to buffers
   * that were used before go the same way, so it may serve at once: a whole step then fits in one submission without holding all of its tensors.
   */
  override disposeData(dataId: object, force = false): boolean {
    this.inside.commandQueueOwnedIds.delete(dataId);
    return super.disposeData(dataId, force);
  }

  override submitQueue(): void {
    this.submissions += 1;
    super.submitQueue();
  }

  override readSync(dataId: object): BackendValues {
    this.noteRead(dataId);
    return super.readSync(dataId);
  }

  override read(dataId: object): Promise<BackendValues> {
    this.noteRead(dataId);
    return super.read(dataId);
  }

  private noteRead(dataId: object): void {
    if (this.recording && this.tensorMap.get(dataId).resource)
      this.recording.obstacle ??= 'numbers are read back in the middle of it';
  }

  /** As TF.js's own method of the name dispatches, but for the timing of programs. */
  private runProgram(program: Program, output: TensorInfo, inputs: TensorInfo[], more: Field[] = []): void {
    const fields: Field[] = [
      { type: 'float32', data: [Number.NaN] },
      { type: 'float32', data: [Number.POSITIVE_INFINITY] },
    ];
    for (const { shape } of [...inputs, output])
      fields.push({ type: 'int32', data: shape }, { type: 'int32', data: util.computeStrides(shape) });
    if (program.size)
      fields.push({ type: 'int32', data: [sizeOf(program.outputShape) / (program.outputComponent || 1)] });
    const bindings = [output, ...inputs].map((info, binding) => ({ binding, ...this.touch(info, binding === 0) }));
    this.encode(program.pipeline, bindings, pack([...fields, ...more]), bindings.length, program.dispatch);
  }

  private encode(
    pipeline: GPUComputePipeline,
    bindings: readonly (Touched & { binding: number })[],
    numbers: ArrayBuffer,
    uniformAt: number,
    groups: readonly number[],
  ): void {
    const uniform = this.uniforms.of(numbers);
    const entries: GPUBindGroupEntry[] = bindings.map(({ binding, buffer, from = 0 }) => ({
      binding,
      resource: { buffer, offset: 4 * from },
    }));
    entries.push({ binding: uniformAt, resource: { buffer: uniform.buffer } });
    const bindGroup = this.device.createBindGroup({ layout: this.layoutOf(pipeline), entries });
    this.recording?.dispatch(pipeline, bindGroup, groups, bindings, uniform.text);
    this.put(pipeline, bindGroup, groups);
    const { inside } = this;
    if (inside.dispatchCountInPass < (tf.env().get('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE') as number)) return;
    this.endComputePassEncoder();
    this.submitQueue();
  }

  private put(pipeline: GPUComputePipeline, bindGroup: GPUBindGroup, groups: readonly number[]): void {
    const { inside } = this;
    this.ensureCommandEncoderReady();
    inside.computePassEncoder ??= inside.commandEncoder!.beginComputePass();
    inside.computePassEncoder.setPipeline(pipeline);
    inside.computePassEncoder.setBindGroup(0, bindGroup);
    inside.computePassEncoder.dispatchWorkgroups(groups[0], groups[1], groups[2]);
    inside.dispatchCountInPass++;
  }

  private encodeCopy(source: Touched, target: Touched): void {
    this.recording?.copy(source, target);
    this.copyBuffers(source.buffer, target.buffer);
  }

  private copyBuffers(source: GPUBuffer, target: GPUBuffer): void {
    this.ensureCommandEncoderReady();
    this.endComputePassEncoder();
    this.inside.commandEncoder!.copyBufferToBuffer(source, 0, target, 0, target.size);
  }

  private touch(info: TensorInfo, writable: boolean): Touched {
    return { buffer: this.bufferOf(info), writable, info };
  }

  private layoutOf(pipeline: GPUComputePipeline): GPUBindGroupLayout {
    let layout = this.layouts.get(pipeline);
    if (!layout) {
      layout = pipeline.getBindGroupLayout(0);
      this.layouts.set(pipeline, layout);
    }
    return layout;
  }

  /** Something to bind: one for all that is only read, but two writable variables may not share. */
  private spare(index: number): GPUBuffer {
    this.spares[index] ??= this.device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE });
    return this.spares[index];
  }

  /** A buffer of at least so many bytes, all NaN. */
  private notNumbers(bytes: number): GPUBuffer {
    if (!this.nans || this.nans.size < bytes) {
      this.nans = this.device.createBuffer({ size: bytes, usage: GPUBufferUsage.COPY_SRC, mappedAtCreation: true });
      new Float32Array(this.nans.getMappedRange()).fill(Number.NaN);
      this.nans.unmap();
    }
    return this.nans;
  }
}
