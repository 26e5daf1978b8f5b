// The memory probes do what they are timed for: they touch every number.
import { describe, expect, it } from 'vitest';
import { draw, natives } from '../core/testing';

describe.each(natives())('Memory probes on $isa', (native) => {
  it.each([1, 15, 16, 129, 1000, 4096])('read and copy %i floats', (floats) => {
    const x = Float32Array.from(draw(floats, floats));
    const part = 512;
    const sums = new Float32Array(Math.ceil(floats / part)).fill(Number.NaN);
    const y = new Float32Array(floats).fill(Number.NaN);
    native.raw('ReadPeak', [x], [sums], [floats, part], []);
    native.raw('CopyPeak', [x], [y], [floats, part], []);
    for (const [i, sum] of sums.entries()) {
      const exact = x.subarray(i * part, (i + 1) * part).reduce((a, b) => a + b, 0);
      expect(Math.abs(sum - exact)).toBeLessThan(1e-4); // 512 terms up to 1 in another order
    }
    expect(y).toEqual(x.map((u) => u / 2));
  });
});
