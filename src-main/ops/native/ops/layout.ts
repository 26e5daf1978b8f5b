// Moving elements: transpose, slice, split, concat, pack, unpack, tile, pad, and constant arrays.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../backend';
import type { Override, Overrides } from '../register';
import { isFloat, isMovable, readAxes, sizeOf, stepsOf } from '../shape';

interface Walk {
  dims: readonly number[];
  from: { offset: number; steps: readonly number[] };
  to: { offset: number; steps: readonly number[] };
}

/** Copies along both walks; axes that both walk as one are joined. False if there are too many left. */
function copy(backend: NativeBackend, x: TensorInfo, y: TensorInfo, { dims, from, to }: Walk): boolean {
  const d: number[] = [];
  const f: number[] = [];
  const t: number[] = [];
  for (let i = 0; i < dims.length; i++) {
    if (dims[i] === 1) continue;
    const k = d.length - 1;
    if (k >= 0 && f[k] === from.steps[i] * dims[i] && t[k] === to.steps[i] * dims[i]) {
      d[k] *= dims[i];
      f[k] = from.steps[i];
      t[k] = to.steps[i];
    } else {
      d.push(dims[i]);
      f.push(from.steps[i]);
      t.push(to.steps[i]);
    }
  }
  if (!d.length) {
    d.push(1);
    f.push(1);
    t.push(1);
  }
  if (d.length > 12) return false;
  backend.run('StridedCopy', [x], [y], [d.length, from.offset, to.offset, ...d, ...f, ...t]);
  return true;
}

const like = (x: TensorInfo): 'float32' | 'int32' => x.dtype as 'float32' | 'int32';
const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, v, i) => sum + v * b[i], 0);
const orNothing = (backend: NativeBackend, y: TensorInfo, done: boolean): TensorInfo | undefined => {
  if (done) return y;
  backend.disposeData(y.dataId);
  return undefined;
};

const transpose: Override = (backend, { x }, { perm }) => {
  const order = perm as number[];
  if (!isMovable(x) || sizeOf(x.shape) === 0 || x.shape.length < 2) return undefined;
  const shape = order.map((axis) => x.shape[axis]);
  if (staysPut(x, order)) {
    backend.incRef(x.dataId);
    return { dataId: x.dataId, shape, dtype: x.dtype };
  }
  const y = backend.make(shape, like(x));
  // Runs of axes that stay together count as one.
  const runs: { axis: number; length: number }[] = [];
  for (const [i, axis] of order.entries()) {
    if (i > 0 && axis === order[i - 1] + 1) runs[runs.length - 1].length *= x.shape[axis];
    else runs.push({ axis, length: x.shape[axis] });
  }
  const moving = runs.filter(({ length }) => length !== 1);
  const swap = asSwap(moving);
  if (swap) {
    backend.run('SwapAxes', [x], [y], swap);
    return y;
  }
  const steps = stepsOf(x.shape);
  const walk = {
    dims: shape,
    from: { offset: 0, steps: order.map((axis) => steps[axis]) },
    to: { offset: 0, steps: stepsOf(shape) },
  };
  return orNothing(backend, y, copy(backend, x, y, walk));
};

/** Whether only axes of length one move, so that the numbers stay in their order. */
const staysPut = (x: TensorInfo, order: readonly number[]): boolean =>
  order.filter((axis) => x.shape[axis] !== 1).every((axis, i, moving) => i === 0 || moving[i - 1] < axis);

/** [batch, rows, columns, each] of the input if the order only swaps two neighbouring runs of axes. */
function asSwap(runs: { axis: number; length: number }[]): number[] | undefined {
  const sorted = [...runs].sort((p, q) => p.axis - q.axis);
  const same = runs.map((run, i) => run.axis === sorted[i].axis);
  const first = same.indexOf(false);
  if (first < 0 || first > 1 || runs.length - first > 3) return undefined;
  if (runs[first].axis !== sorted[first + 1].axis || runs[first + 1].axis !== sorted[first].axis) return undefined;
  const batch = first === 1 ? sorted[0].length : 1;
  return [batch, sorted[first].length, sorted[first + 1].length, sorted[first + 2]?.length ?? 1];
}

const slice: Override = (backend, { x }, { begin, size }) => {
  const rank = x.shape.length;
  // Axes that aren't named stay whole.
  const whole = (given: unknown, rest: number) =>
    Array.from({ length: rank }, (_, axis) => ([given].flat()[axis] as number | undefined) ?? rest);
  const starts = whole(begin, 0);
  const sizes = whole(size, -1);
  if (!isMovable(x)) return undefined;
  const shape = sizes.map((length, i) => (length < 0 ? x.shape[i] - starts[i] : length));
  const inside = shape.every((length, i) => starts[i] >= 0 && length >= 0 && starts[i] + length <= x.shape[i]);
  if (!inside) return undefined;
  if (sizeOf(shape) === 0) return backend.make(shape, like(x));
  const steps = stepsOf(x.shape);
  const y = backend.make(shape, like(x));
  const walk = { dims: shape, from: { offset: dot(starts, steps), steps }, to: { offset: 0, steps: stepsOf(shape) } };
  return orNothing(backend, y, copy(backend, x, y, walk));
};

const reverse: Override = (backend, { x }, { dims }) => {
  if (!isMovable(x) || sizeOf(x.shape) === 0 || x.shape.length === 0) return undefined;
  const turned = readAxes(dims, x.shape.length);
  const steps = stepsOf(x.shape);
  const last = turned.reduce((offset, axis) => offset + (x.shape[axis] - 1) * steps[axis], 0);
  const from = { offset: last, steps: steps.map((step, axis) => (turned.includes(axis) ? -step : step)) };
  const y = backend.make(x.shape, like(x));
  return orNothing(backend, y, copy(backend, x, y, { dims: x.shape, from, to: { offset: 0, steps } }));
};

const split: Override = (backend, { x }, { numOrSizeSplits, axis }) => {
  const [along] = readAxes(axis ?? 0, x.shape.length);
  const whole = x.shape[along];
  const asked =
    typeof numOrSizeSplits === 'number'
      ? new Array<number>(numOrSizeSplits).fill(whole / numOrSizeSplits)
      : (numOrSizeSplits as number[]);
  const known = asked.reduce((sum, length) => sum + Math.max(0, length), 0);
  const sizes = asked.map((length) => (length < 0 ? whole - known : length));
  if (!isMovable(x) || sizes.some((length) => !Number.isInteger(length) || length < 1) || sizeOf(x.shape) === 0)
    return undefined;
  if (sizes.reduce((sum, length) => sum + length, 0) !== whole) return undefined;
  const outer = sizeOf(x.shape.slice(0, along));
  const inner = sizeOf(x.shape.slice(along + 1));
  let start = 0;
  return sizes.map((length) => {
    const y = backend.make(
      x.shape.map((d, i) => (i === along ? length : d)),
      like(x),
    );
    const from = { offset: start * inner, steps: [whole * inner, 1] };
    copy(backend, x, y, { dims: [outer, length * inner], from, to: { offset: 0, steps: [length * inner, 1] } });
    start += length;
    return y;
  });
};

function join(backend: NativeBackend, parts: TensorInfo[], along: number, shape: number[]): TensorInfo {
  const y = backend.make(shape, like(parts[0]));
  const outer = sizeOf(shape.slice(0, along));
  const row = sizeOf(shape.slice(along));
  let start = 0;
  for (const part of parts) {
    const width = sizeOf(part.shape) / outer;
    if (width === 0) continue;
    const to = { offset: start, steps: [row, 1] };
    copy(backend, part, y, { dims: [outer, width], from: { offset: 0, steps: [width, 1] }, to });
    start += width;
  }
  return y;
}

const concat: Override = (backend, inputs, { axis }) => {
  const parts = Object.values(inputs);
  const [first] = parts;
  const [along] = readAxes(axis ?? 0, first.shape.length);
  if (!isMovable(...parts)) return undefined;
  const fits = parts.every(
    ({ shape }) => shape.length === first.shape.length && shape.every((d, i) => i === along || d === first.shape[i]),
  );
  const total = parts.reduce((sum, { shape }) => sum + shape[along], 0);
  const shape = first.shape.map((d, i) => (i === along ? total : d));
  if (!fits || sizeOf(shape) === 0) return undefined;
  return join(backend, parts, along, shape);
};

const pack: Override = (backend, inputs, { axis }) => {
  const parts = Object.values(inputs);
  const [first] = parts;
  if (!isMovable(...parts) || sizeOf(first.shape) === 0) return undefined;
  if (!parts.every(({ shape }) => String(shape) === String(first.shape))) return undefined;
  const [along] = readAxes(axis ?? 0, first.shape.length + 1);
  return join(backend, parts, along, [...first.shape.slice(0, along), parts.length, ...first.shape.slice(along)]);
};

const unpack: Override = (backend, { value }, { axis }) => {
  if (!isMovable(value) || sizeOf(value.shape) === 0) return undefined;
  const [along] = readAxes(axis ?? 0, value.shape.length);
  const parts = split(backend, { x: value }, { numOrSizeSplits: value.shape[along], axis: along }) as
    | TensorInfo[]
    | undefined;
  return parts?.map((part) => ({ ...part, shape: part.shape.filter((_, i) => i !== along) }));
};

const tile: Override = (backend, { x }, { reps }) => {
  const times = reps as number[];
  const shape = x.shape.map((d, i) => d * times[i]);
  if (!isMovable(x) || times.length !== x.shape.length || sizeOf(shape) === 0) return undefined;
  const steps = stepsOf(x.shape);
  const y = backend.make(shape, like(x));
  const dims = x.shape.flatMap((d, i) => [times[i], d]);
  const walk = {
    dims,
    from: { offset: 0, steps: steps.flatMap((step) => [0, step]) },
    to: { offset: 0, steps: stepsOf(dims) },
  };
  return orNothing(backend, y, copy(backend, x, y, walk));
};

const pad: Override = (backend, { x }, { paddings, constantValue }) => {
  const around = paddings as [number, number][];
  const shape = x.shape.map((d, i) => around[i][0] + d + around[i][1]);
  if (!isFloat(x) || sizeOf(x.shape) === 0 || x.shape.length === 0) return undefined;
  const steps = stepsOf(shape);
  const y = backend.make(shape, 'float32');
  backend.run('Fill', [], [y], [sizeOf(shape)], [Number(constantValue ?? 0)]);
  const to = {
    offset: dot(
      around.map(([before]) => before),
      steps,
    ),
    steps,
  };
  return orNothing(
    backend,
    y,
    copy(backend, x, y, { dims: x.shape, from: { offset: 0, steps: stepsOf(x.shape) }, to }),
  );
};

/** A new array of one value. */
function filled(backend: NativeBackend, shape: number[], dtype: unknown, value: number): TensorInfo | undefined {
  if (dtype !== 'float32' && dtype !== 'int32') return undefined;
  const size = sizeOf(shape);
  if (size === 0) return undefined;
  const y = backend.make(shape, dtype);
  backend.run(dtype === 'int32' ? 'FillInt' : 'Fill', [], [y], [size], [value]);
  return y;
}

export const overrides: Overrides = {
  Transpose: transpose,
  Slice: slice,
  Reverse: reverse,
  SplitV: split,
  Concat: concat,
  Pack: pack,
  Unpack: unpack,
  Tile: tile,
  PadV2: pad,
  Fill: (backend, _, { shape, value, dtype }) =>
    typeof value === 'number' ? filled(backend, shape as number[], dtype ?? 'float32', value) : undefined,
  ZerosLike: (backend, { x }) => filled(backend, x.shape, x.dtype, 0),
  OnesLike: (backend, { x }) => filled(backend, x.shape, x.dtype, 1),
};
