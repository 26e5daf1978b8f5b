// Whole numbers that go together: divisors and multiples.

/** The divisor of `whole` that is nearest to `wanted`, the smaller of two. */
export function divisorNear(whole: number, wanted: number): number {
  let best = 1;
  for (let n = 1; n <= whole; n++) if (whole % n === 0 && Math.abs(n - wanted) < Math.abs(best - wanted)) best = n;
  return best;
}

/** `size` rounded up to a multiple of `step`. */
export const roundUp = (size: number, step: number): number => Math.ceil(size / step - 1e-9) * step;
