// Whether two configurations differ by more than their seeds do: confidence intervals and Welch's test, from mean, deviation and count.

/** Mean and sample deviation over `n` seeds. */
export interface Sample {
  mean: number;
  std: number;
  n: number;
}

/** ln Γ(x) for x > 0 by Lanczos's sum (g = 7, nine terms), to about 1e-15. */
function logGamma(x: number): number {
  const c = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  const t = x + 6.5;
  const sum = c.slice(1).reduce((all, term, i) => all + term / (x + i), c[0]!);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

/** Regularised incomplete beta function I_x(a, b), by Lentz's continued fraction (NIST DLMF 8.17.22). */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast below the mean; above it the mirrored one does.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const TINY = 1e-300;
  const kept = (value: number) => (Math.abs(value) < TINY ? TINY : value);
  let c = 1;
  let d = 1 / kept(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m < 300; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / kept(1 + even * d);
    c = kept(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / kept(1 + odd * d);
    c = kept(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  const front = a * Math.log(x) + b * Math.log(1 - x) + logGamma(a + b) - logGamma(a) - logGamma(b);
  return (Math.exp(front) * fraction) / a;
}

/** Two-sided probability that Student's t with `df` degrees of freedom lies further out than `t`. */
export const studentTail = (t: number, df: number): number => incompleteBeta(df / (df + t * t), df / 2, 0.5);

/**
 * Two-sided p of Welch's test that two means are equal, whose deviations may differ; null where a side has fewer than two
 * seeds, or where no seed of either strays from its mean.
 */
export function welch(a: Sample, b: Sample): number | null {
  if (a.n < 2 || b.n < 2) return null;
  const [u, v] = [a.std ** 2 / a.n, b.std ** 2 / b.n];
  if (!(u + v > 0 && Number.isFinite(u + v))) return null;
  const share = u / (u + v); // by shares, since the squares of small variances are no numbers any more
  const df = 1 / (share ** 2 / (a.n - 1) + (1 - share) ** 2 / (b.n - 1));
  return studentTail((a.mean - b.mean) / Math.sqrt(u + v), df);
}

/** Welch's p of each sample against the one with the lowest mean, its own being null as are those that can't be tested. */
export function againstLowest(samples: readonly (Sample | null)[]): (number | null)[] {
  const lowest = samples.reduce((a, b) => (a && (!b || a.mean <= b.mean) ? a : b), null);
  return samples.map((sample) => (sample && lowest && sample !== lowest ? welch(sample, lowest) : null));
}

/** Half the width of the 95 % confidence interval of the mean; null for fewer than two seeds. */
export function halfWidth95({ std, n }: Pick<Sample, 'std' | 'n'>): number | null {
  if (n < 2) return null;
  // The quantile by halving: the tail falls steadily from 1 at 0; 12.71 at one degree of freedom is the most.
  let [low, high] = [0, 20];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (studentTail(middle, n - 1) > 0.05) low = middle;
    else high = middle;
  }
  return (low * std) / Math.sqrt(n);
}
