// Shapes as the native kernels want them: axes joined wherever they can be walked as one.
import type { TensorInfo } from '@tensorflow/tfjs-core';

export const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** Row-major steps of each axis. */
export function stepsOf(shape: readonly number[]): number[] {
  const steps = new Array<number>(shape.length);
  for (let d = shape.length - 1, step = 1; d >= 0; step *= shape[d--]) steps[d] = step;
  return steps;
}

export const isFloat = (...infos: TensorInfo[]): boolean => infos.every(({ dtype }) => dtype === 'float32');
export const isInt = (...infos: TensorInfo[]): boolean => infos.every(({ dtype }) => dtype === 'int32');
/** True if all are float32 or all int32: 4-byte elements that only move. */
export const isMovable = (...infos: TensorInfo[]): boolean => isFloat(...infos) || isInt(...infos);

export interface BroadcastPlan {
  /** The output's shape. */
  shape: number[];
  /** For Broadcast in kernels/elementwise/binary.cc: rank, dimensions, steps of a, steps of b. */
  ints: number[];
}

/** How two shapes go together; undefined if they don't, or in more pieces than the kernel takes. */
export function planBroadcast(a: readonly number[], b: readonly number[]): BroadcastPlan | undefined {
  const rank = Math.max(a.length, b.length);
  const shape: number[] = [];
  const dims: number[] = [];
  const kinds: number[] = []; // bit 0: a moves along, bit 1: b moves along
  for (let d = 0; d < rank; d++) {
    const x = a[d - rank + a.length] ?? 1;
    const y = b[d - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) return undefined;
    shape.push(x === 1 ? y : x);
    if (x === 1 && y === 1) continue;
    const kind = (x === 1 ? 0 : 1) | (y === 1 ? 0 : 2);
    if (kinds.at(-1) === kind) dims[dims.length - 1] *= x === 1 ? y : x;
    else {
      dims.push(x === 1 ? y : x);
      kinds.push(kind);
    }
  }
  if (!dims.length) {
    dims.push(1);
    kinds.push(3);
  }
  if (dims.length > 8) return undefined;
  const steps = (bit: number) => {
    const result = new Array<number>(dims.length);
    for (let d = dims.length - 1, step = 1; d >= 0; d--) {
      result[d] = kinds[d] & bit ? step : 0;
      if (kinds[d] & bit) step *= dims[d];
    }
    return result;
  };
  return { shape, ints: [dims.length, ...dims, ...steps(1), ...steps(2)] };
}

/** Axes counted from the front, in order; all of them if none are named. */
export function readAxes(axes: unknown, rank: number): number[] {
  const list = axes === undefined || axes === null ? [...Array(rank).keys()] : [axes].flat().map(Number);
  return [...new Set(list.map((axis) => (axis < 0 ? axis + rank : axis)))].sort((x, y) => x - y);
}
