// Sums, means and extremes over any axes; softmax; argmax over the last axis; running sums.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../backend';
import type { Override, Overrides } from '../register';
import { isFloat, readAxes, sizeOf } from '../shape';

/** Axes of a shape in runs that are all reduced or all kept: `[{length, reduced}, ...]`. */
function runsOf(shape: readonly number[], axes: readonly number[]): { length: number; reduced: boolean }[] {
  const runs: { length: number; reduced: boolean }[] = [];
  shape.forEach((length, axis) => {
    const reduced = axes.includes(axis);
    if (length === 1) return;
    const last = runs.at(-1);
    if (last && last.reduced === reduced) last.length *= length;
    else runs.push({ length, reduced });
  });
  return runs;
}

/** Reduces one run of axes at a time, the last one first; each sees its array as [outer, length, inner]. */
function reduceOver(
  backend: NativeBackend,
  kernel: string,
  x: TensorInfo,
  axes: number[],
  shape: number[],
  scale: number,
): TensorInfo {
  const runs = runsOf(x.shape, axes);
  if (!runs.some(({ reduced }) => reduced)) runs.push({ length: 1, reduced: true });
  let from = x;
  for (let i = runs.length - 1; i >= 0; i--) {
    if (!runs[i].reduced) continue;
    const outer = sizeOf(runs.slice(0, i).map(({ length }) => length));
    const inner = sizeOf(runs.slice(i + 1).map(({ length }) => length));
    const last = !runs.slice(0, i).some(({ reduced }) => reduced);
    const to = backend.make(last ? shape : [outer, inner], 'float32');
    backend.run(kernel, [from], [to], [outer, runs[i].length, inner], [last ? scale : 1]);
    if (from !== x) backend.disposeData(from.dataId);
    from = to;
    runs.splice(i, 1);
  }
  return from;
}

const reduction =
  (kernel: string, { mean = false } = {}): Override =>
  (backend, { x }, { axis, keepDims }) => {
    if (!isFloat(x) || sizeOf(x.shape) === 0) return undefined;
    const axes = readAxes(axis, x.shape.length);
    const shape = x.shape.flatMap((d, i) => (axes.includes(i) ? (keepDims ? [1] : []) : [d]));
    const count = sizeOf(axes.map((i) => x.shape[i]));
    return reduceOver(backend, kernel, x, axes, shape, mean ? 1 / count : 1);
  };

const softmax: Override = (backend, { logits }, { dim }) => {
  const rank = logits.shape.length;
  const width = logits.shape[rank - 1];
  const axis = dim === undefined ? -1 : Number(dim);
  const size = sizeOf(logits.shape);
  if (!isFloat(logits) || rank === 0 || size === 0 || (axis !== -1 && axis !== rank - 1)) return undefined;
  const y = backend.make(logits.shape, 'float32');
  backend.run('Softmax', [logits], [y], [size / width, width]);
  return y;
};

const argMax: Override = (backend, { x }, { axis }) => {
  const rank = x.shape.length;
  const [last, ...more] = readAxes(axis, rank);
  const size = sizeOf(x.shape);
  if (!isFloat(x) || rank === 0 || more.length || last !== rank - 1 || size === 0) return undefined;
  const width = x.shape[rank - 1];
  const y = backend.make(x.shape.slice(0, -1), 'int32');
  backend.run('ArgMaxRows', [x], [y], [size / width, width]);
  return y;
};

const cumsum: Override = (backend, { x }, { axis, exclusive, reverse }) => {
  const size = sizeOf(x.shape);
  if (!isFloat(x) || size === 0 || x.shape.length === 0) return undefined;
  const [along] = readAxes(axis ?? 0, x.shape.length);
  const outer = sizeOf(x.shape.slice(0, along));
  const inner = sizeOf(x.shape.slice(along + 1));
  const y = backend.make(x.shape, 'float32');
  backend.run('Cumsum', [x], [y], [outer, x.shape[along], inner, Number(exclusive === true), Number(reverse === true)]);
  return y;
};

/** Arrays that one call of SquareSumAll takes: it has room for 256 numbers. */
const ARRAYS = 250;
/** Arrays of any shapes to the sum of all their squares. */
const squareSumAll: Override = (backend, inputs) => {
  const all = Object.values(inputs);
  if (!isFloat(...all) || all.length === 0) return undefined;
  const sums: TensorInfo[] = [];
  for (let i = 0; i < all.length; i += ARRAYS) {
    const some = all.slice(i, i + ARRAYS);
    const sum = backend.make([], 'float32');
    backend.run('SquareSumAll', some, [sum], [some.length, ...some.map(({ shape }) => sizeOf(shape))]);
    sums.push(sum);
  }
  if (sums.length === 1) return sums[0];
  const total = backend.make([], 'float32');
  backend.run('AddN', sums, [total], [1]);
  for (const { dataId } of sums) backend.disposeData(dataId);
  return total;
};

export const overrides: Overrides = {
  Sum: reduction('ReduceSum'),
  Mean: reduction('ReduceSum', { mean: true }),
  Max: (backend, { x }, { reductionIndices, axis, keepDims }) =>
    reduction('ReduceMax')(backend, { x }, { axis: axis ?? reductionIndices, keepDims }),
  Min: (backend, { x }, { axis, keepDims }) => reduction('ReduceMin')(backend, { x }, { axis, keepDims }),
  Softmax: softmax,
  ArgMax: argMax,
  Cumsum: cumsum,
  SquareSumAll: squareSumAll,
};
