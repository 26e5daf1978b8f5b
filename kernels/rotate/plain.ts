// Turning heads as float64 loops.
import type { Plain } from '../core/kernel';

export const plain: Record<string, Plain> = {
  Rotate({ u, cos, sin }, shapes) {
    const [, T, H, d] = shapes.u;
    const half = shapes.cos[1];
    const y = u.slice();
    for (let row = 0; row < u.length / d; row++)
      for (let i = 0; i < half; i++) {
        const at = (Math.floor(row / H) % T) * half + i;
        const low = (row + 1) * d - 2 * half + i;
        y[low] = u[low] * cos[at] - u[low + half] * sin[at];
        y[low + half] = u[low + half] * cos[at] + u[low] * sin[at];
      }
    return { y };
  },
};
