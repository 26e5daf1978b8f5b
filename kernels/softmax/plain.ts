// Softmax as float64 loops.
import { type Plain, sizeOf } from '../core/kernel';

export const plain: Record<string, Plain> = {
  SoftmaxRows({ x }, shapes) {
    const width = shapes.x.at(-1)!;
    const y = new Float64Array(sizeOf(shapes.x));
    for (let row = 0; row < y.length; row += width) {
      const numbers = x.subarray(row, row + width);
      const most = numbers.reduce((a, b) => Math.max(a, b));
      const sum = numbers.reduce((total, u) => total + Math.exp(u - most), 0);
      for (let j = 0; j < width; j++) y[row + j] = Math.exp(numbers[j] - most) / sum;
    }
    return { y };
  },
};
