// Smoothing of a metric: four kinds, each leaving gaps where the value is not a number.

export const SMOOTHINGS = ['none', 'ema', 'running', 'centred', 'gaussian'] as const;
export type SmoothingKind = (typeof SMOOTHINGS)[number];
export interface Smoothing {
  kind: SmoothingKind;
  /** From 0 (nothing) to 0.99; read as the weight of the past by `ema`, as a window by the others. */
  strength: number;
}

/** Points averaged by a window as wide as the memory of an exponential average of this strength: (1 + s) / (1 - s). */
export const windowOf = (strength: number): number => Math.max(1, Math.round((1 + strength) / (1 - strength)));

/**
 * Smooths values in the order given; what is not finite stays NaN and does not touch its neighbours.
 * `ema` is debiased (divided by 1 - s^n), so that it starts at the first value and not at zero.
 */
export function smooth(values: ArrayLike<number>, { kind, strength }: Smoothing): Float64Array {
  if (kind === 'none' || strength <= 0) return Float64Array.from(values);
  if (kind === 'ema') return ema(values, strength);
  const width = windowOf(strength);
  if (kind === 'running') return average(values, width - 1, 0);
  const half = Math.floor(width / 2);
  return kind === 'centred' ? average(values, half, half) : gaussian(values, width);
}

function ema(values: ArrayLike<number>, strength: number): Float64Array {
  const out = new Float64Array(values.length).fill(Number.NaN);
  let sum = 0;
  let weight = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value)) continue;
    sum = strength * sum + (1 - strength) * value;
    weight = strength * weight + (1 - strength);
    out[i] = sum / weight;
  }
  return out;
}

/** Mean of the finite values from `before` places back to `after` places ahead, cut off at the ends. */
function average(values: ArrayLike<number>, before: number, after: number): Float64Array {
  const { length } = values;
  // Each window is summed anew: differences of running sums would keep a spike's rounding for all that comes after it.
  return Float64Array.from({ length }, (_, i) => {
    if (!Number.isFinite(values[i])) return Number.NaN;
    let sum = 0;
    let count = 0;
    for (let j = Math.max(0, i - before); j <= Math.min(length - 1, i + after); j++) {
      if (!Number.isFinite(values[j])) continue;
      sum += values[j]!;
      count += 1;
    }
    return sum / count;
  });
}

/** Weights of a normal curve with the variance of a box `width` points wide, cut off at three deviations. */
function gaussian(values: ArrayLike<number>, width: number): Float64Array {
  const deviation = width / Math.sqrt(12);
  const reach = Math.max(1, Math.ceil(3 * deviation));
  const weights = Float64Array.from({ length: reach + 1 }, (_, d) => Math.exp(-0.5 * (d / deviation) ** 2));
  return Float64Array.from({ length: values.length }, (_, i) => {
    if (!Number.isFinite(values[i])) return Number.NaN;
    let sum = 0;
    let total = 0;
    for (let j = Math.max(0, i - reach); j <= Math.min(values.length - 1, i + reach); j++) {
      if (!Number.isFinite(values[j])) continue;
      const weight = weights[Math.abs(i - j)]!;
      sum += weight * values[j]!;
      total += weight;
    }
    return sum / total;
  });
}
