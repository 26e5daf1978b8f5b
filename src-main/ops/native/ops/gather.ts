// Rows by index, and rows added up by index (the gradient of the former).
import type { Override, Overrides } from '../register';
import { isFloat, isMovable, readAxes, sizeOf } from '../shape';

const gather: Override = (backend, { x, indices }, { axis, batchDims }) => {
  const [along] = readAxes(axis ?? 0, x.shape.length);
  const count = sizeOf(indices.shape);
  if (!isMovable(x) || indices.dtype !== 'int32' || (batchDims ?? 0) !== 0) return undefined;
  if (sizeOf(x.shape) === 0 || count === 0) return undefined;
  const outer = sizeOf(x.shape.slice(0, along));
  const inner = sizeOf(x.shape.slice(along + 1));
  const y = backend.make(
    [...x.shape.slice(0, along), ...indices.shape, ...x.shape.slice(along + 1)],
    x.dtype as 'float32',
  );
  try {
    backend.run('Gather', [x, indices], [y], [outer, x.shape[along], inner, count]);
  } catch (error) {
    backend.disposeData(y.dataId);
    throw error;
  }
  return y;
};

const segmentSum: Override = (backend, { x, segmentIds }, { numSegments }) => {
  const count = segmentIds.shape[0];
  const segments = Number(numSegments);
  if (!isFloat(x) || segmentIds.dtype !== 'int32' || segmentIds.shape.length !== 1) return undefined;
  if (x.shape[0] !== count || sizeOf(x.shape) === 0 || !(segments > 0)) return undefined;
  const y = backend.make([segments, ...x.shape.slice(1)], 'float32');
  backend.run('SegmentSum', [x, segmentIds], [y], [count, sizeOf(x.shape) / count, segments]);
  return y;
};

export const overrides: Overrides = { GatherV2: gather, UnsortedSegmentSum: segmentSum };
