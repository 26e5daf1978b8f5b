// Softmax in one pass.
import { sizeOf } from '../../../../kernels/core/kernel';
import { softmaxRows } from '../../../../kernels/softmax/kernel';
import { callFused } from '../fused';
import type { Overrides } from '../override';

export const overrides: Overrides = {
  Softmax(backend, { logits }, { dim }) {
    const rank = logits.shape.length;
    const last = dim === undefined || dim === -1 || dim === rank - 1;
    if (logits.dtype !== 'float32' || !last || rank === 0 || sizeOf(logits.shape) === 0) return undefined;
    return callFused(backend, softmaxRows.name, { x: logits }, {})[0];
  },
};
