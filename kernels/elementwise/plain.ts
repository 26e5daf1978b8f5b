// Sine and cosine in float64.
import type { Plain } from '../core/kernel';

export const plain: Record<string, Plain> = {
  ElementwiseWave: ({ x }, _shapes, { cosine }) => ({ y: x.map(cosine === true ? Math.cos : Math.sin) }),
};
