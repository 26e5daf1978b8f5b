// Puts compute passes of our own between those of TF.js: same queue, same order, same care for buffers that are still in use.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { DType, Shape } from '../../../kernels/core/kernel';
import { sizeOf } from '../../../kernels/core/kernel';
import * as tf from '../tf';
import { RepairedBackend } from './repairs';

/** What TF.js 4.22 declares private: its encoder, and what waits for the next submission. */
interface Inside {
  commandEncoder: GPUCommandEncoder | null;
  computePassEncoder: GPUComputePassEncoder | null;
  commandQueueOwnedIds: WeakSet<object>;
  dispatchCountInPass: number;
  uniformPendingDisposal: GPUBuffer[];
}

/** A tensor for the storage variable at `binding`; without one a few bytes are bound that nothing reads: the kernel has no such input or output. */
export interface Bound {
  binding: number;
  writable: boolean;
  info?: TensorInfo;
}

export class FusedBackend extends RepairedBackend {
  /** Test mode: fresh tensors hold NaN, so that whatever is read before it is written shows. */
  poison = false;
  private readonly spares: GPUBuffer[] = [];

  private get inside(): Inside {
    return this as unknown as Inside;
  }

  /** A tensor whose numbers are yet to be written. */
  fresh(shape: Shape, dtype: DType): TensorInfo {
    const size = sizeOf(shape);
    const info = this.makeTensorInfo([...shape], dtype, size === 0 ? new Float32Array(0) : undefined);
    if (size === 0) return info;
    this.uploadToGPU(info.dataId);
    // No command that waits to be submitted uses the buffer: TF.js gives those back only after they are.
    if (this.poison) this.queue.writeBuffer(this.bufferOf(info)!, 0, new Float32Array(size).fill(Number.NaN));
    return info;
  }

  /** A uniform buffer with these bytes. Give it back by `release` once all that use it are recorded: a dispatch may submit those before it. */
  uniform(data: ArrayBuffer): GPUBuffer {
    const buffer = this.bufferManager.acquireBuffer(data.byteLength, GPUBufferUsage.COPY_DST | GPUBufferUsage.UNIFORM);
    this.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  release(uniform: GPUBuffer): void {
    this.inside.uniformPendingDisposal.push(uniform);
  }

  /** Records one dispatch. The uniform is bound at `uniformAt`. */
  dispatch(
    pipeline: GPUComputePipeline,
    tensors: readonly Bound[],
    uniform: GPUBuffer,
    uniformAt: number,
    groups: [number, number],
  ) {
    const { inside } = this;
    const entries = tensors.map(({ binding, writable, info }) => {
      if (info && sizeOf(info.shape) > 0) {
        this.uploadToGPU(info.dataId); // may end the open pass, so before the next one begins
        inside.commandQueueOwnedIds.add(info.dataId);
      }
      return { binding, resource: { buffer: (info && this.bufferOf(info)) ?? this.spare(writable ? binding : 0) } };
    });
    entries.push({ binding: uniformAt, resource: { buffer: uniform } });
    const bindGroup = this.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    this.ensureCommandEncoderReady();
    inside.computePassEncoder ??= inside.commandEncoder!.beginComputePass();
    inside.computePassEncoder.setPipeline(pipeline);
    inside.computePassEncoder.setBindGroup(0, bindGroup);
    inside.computePassEncoder.dispatchWorkgroups(...groups);
    inside.dispatchCountInPass++;
    if (inside.dispatchCountInPass < (tf.env().get('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE') as number)) return;
    this.endComputePassEncoder();
    this.submitQueue();
  }

  private bufferOf({ dataId }: TensorInfo): GPUBuffer | undefined {
    return (this.tensorMap.get(dataId).resource as GPUBuffer | null) ?? undefined;
  }

  /** Something to bind: one for all that is only read, but two writable variables may not share. */
  private spare(index: number): GPUBuffer {
    this.spares[index] ??= this.device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE });
    return this.spares[index];
  }
}
