// Weights in bfloat16 for as long as a text is written: products of a few rows read half the bytes, and the numbers that they would round to anyway.
import type { Tensor, TensorInfo } from '@tensorflow/tfjs-core';
import { wordsOf } from '../../kernels/core/kernel';
import type { NativeBackend, NativeCall } from './native/backend';
import { nativeBackend } from './native/register';
import * as tf from './tf';

/** More rows are computed with packed weights, see kFew in kernels/core/gemm.h. */
const FEW = 8;
/** Smaller weights stay in the caches whatever they are. */
const LEAST = 1024;

/** Whether the current device is the cpu with native kernels whose products round to bfloat16. */
export const servesHalves = (): boolean => tf.getBackend() === 'native' && nativeBackend()!.rounding;

/**
 * Copies in bfloat16 of weights that do not change meanwhile, made when a product first reads one. On `cpu` in a run of bfloat16 alone: elsewhere it does
 * nothing.
 */
export class ServedWeights {
  private readonly backend: NativeBackend | undefined = servesHalves() ? nativeBackend() : undefined;
  private readonly copies = new Map<TensorInfo['dataId'], TensorInfo | undefined>();
  private loose: TensorInfo[] = [];

  /** From now on products may read a copy of this tensor. */
  add(weight: Tensor): void {
    if (this.backend && weight.size >= LEAST && !this.copies.has(weight.dataId))
      this.copies.set(weight.dataId, undefined);
  }

  /** Runs `step` with products on the copies. */
  during<Result>(step: () => Result): Result {
    const { backend } = this;
    if (!backend) return step();
    backend.instead = (call) => this.instead(backend, call);
    try {
      return step();
    } finally {
      backend.instead = undefined;
    }
  }

  /** Moves the copies made since it was last called to where they are read fastest. Not within a recorded step. */
  keepTogether(): void {
    if (this.loose.length) this.backend!.keepTogether(this.loose);
    this.loose = [];
  }

  dispose(): void {
    for (const copy of this.copies.values()) if (copy) this.backend?.disposeData(copy.dataId);
    this.copies.clear();
    this.loose = [];
  }

  private instead(backend: NativeBackend, call: NativeCall): NativeCall | undefined {
    const served = servedBy(call);
    if (!served) return undefined;
    const { kernel, from, to } = served;
    const weights = call.inputs.slice(from, to);
    if (!weights.every((weight) => weight && this.copies.has(weight.dataId))) return undefined;
    const inputs = call.inputs.map((input, i) => (i >= from && i < to ? this.copyOf(backend, input!) : input));
    return { kernel, inputs };
  }

  private copyOf(backend: NativeBackend, weight: TensorInfo): TensorInfo {
    const known = this.copies.get(weight.dataId);
    if (known) return known;
    const size = weight.shape.reduce((n, d) => n * d, 1);
    const width = size % 256 ? size : 256;
    const { recording } = backend;
    backend.recording = undefined; // the copy is there before the step
    const copy = backend.make([wordsOf(size)], 'int32');
    backend.run('HalvesOf', [weight], [copy], [size / width, width]);
    backend.recording = recording;
    this.copies.set(weight.dataId, copy);
    this.loose.push(copy);
    return copy;
  }
}

/** The kernel on halves for a call, and which of its inputs are the weights; undefined where there is none. */
function servedBy({ kernel, inputs, ints = [] }: NativeCall): { kernel: string; from: number; to: number } | undefined {
  if (/^Linear\d$/.test(kernel))
    return ints[0] <= FEW ? { kernel: 'ServedLinear', from: 1, to: inputs.length } : undefined;
  if (/^SplitLinear\d$/.test(kernel))
    return ints[0] <= FEW ? { kernel: 'ServedSplitLinear', from: 1, to: 2 } : undefined;
  if (kernel !== 'MatMul') return undefined;
  const [, m, n, , transA] = ints;
  return m <= FEW && n >= m && (!transA || m === 1) ? { kernel: 'ServedMatMul', from: 1, to: 2 } : undefined;
}
