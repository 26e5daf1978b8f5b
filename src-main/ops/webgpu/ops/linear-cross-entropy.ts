// The last linear map and its cross-entropy on the GPU, some rows at a time: products by the shader of all products, the logits of a piece between them.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { type Attrs, type Shape, sizeOf } from '../../../../kernels/core/kernel';
import {
  addPart,
  gradedCount,
  linearCrossEntropy,
  pieceOfLoss,
  sumOfLosses,
} from '../../../../kernels/linear-cross-entropy/kernel';
import { product } from '../../../../kernels/matmul/kernel';
import type { FusedBackend } from '../dispatch';
import { callFused, type Inputs, type Piece } from '../fused';
import type { Composites } from '../override';

/** Logits that stand at a time: 64 MiB. Each further piece adds its gradient of w to that of those before, so that few are better. */
const MOST = 2 ** 24;

/** A piece begins at a multiple of so many rows: its first byte is one that every device binds from. */
const STEP = 64;

/** Rows of a piece. */
export const rowsAtOnce = (V: number, most = MOST): number => Math.max(1, Math.floor(most / V / STEP)) * STEP;

/** Loss, and the slopes of x and w for a gradient of 1: see kernels/linear-cross-entropy. `most`: logits at a time. */
export function lossAndSlopes(backend: FusedBackend, inputs: Inputs, attrs: Attrs, most = MOST): TensorInfo[] {
  const { x, w, targets, mask } = inputs as Record<string, TensorInfo>;
  const tied = attrs.tied === true;
  const D = x.shape[x.shape.length - 1];
  const rows = sizeOf(x.shape) / D;
  const V = w.shape[tied ? 0 : 1];
  const each = Math.min(rows, rowsAtOnce(V, most));
  const fresh = (shape: Shape) => backend.fresh(shape, 'float32');
  const piece = (info: TensorInfo, shape: number[], from = 0): Piece => ({ ...info, shape, from });
  const multiply = (a: TensorInfo, b: TensorInfo, way: Attrs, into: TensorInfo) =>
    callFused(backend, product.name, { a, b }, { ...way, rounded: backend.rounding }, { product: into });

  const [slopeX, slopeW, losses] = [fresh(x.shape), fresh(w.shape), fresh([rows])];
  const [logits, part] = [fresh([each, V]), rows > each ? fresh(w.shape) : undefined];
  const [count] = callFused(backend, gradedCount.name, { targets, mask }, {});
  for (let first = 0; first < rows; first += each) {
    const size = Math.min(each, rows - first);
    const own = piece(x, [size, D], first * D);
    const z = piece(logits, [size, V]);
    multiply(own, w, { transposeB: tied }, z);
    const given = {
      ...{ logits: z, count, targets: piece(targets, [size], first) },
      ...(mask && { mask: piece(mask, [size], first) }),
    };
    const into = { logits: z, losses: piece(losses, [size], first) };
    callFused(backend, pieceOfLoss.name, given, attrs, into);
    multiply(z, w, { transposeB: !tied }, piece(slopeX, [size, D], first * D));
    const [a, b] = tied ? [z, own] : [own, z];
    multiply(a, b, { transposeA: true }, part && first > 0 ? part : slopeW);
    if (part && first > 0) callFused(backend, addPart.name, { whole: slopeW, part }, {}, { whole: slopeW });
  }
  const [loss] = callFused(backend, sumOfLosses.name, { losses }, {});
  for (const done of [losses, logits, part, count]) if (done) backend.disposeData(done.dataId);
  return [loss, slopeX, slopeW];
}

export const composites: Composites = {
  [linearCrossEntropy.name]: (backend, inputs, attrs) => lossAndSlopes(backend, inputs, attrs),
};
