// The points of one metric of one run as charts read them, and where each lies on the x axis.

/**
 * Columns of equal length in step order; a value that was not a number is NaN. The columns may grow in place; whoever
 * grows them hands out a new object, so that what was computed from an object can be kept beside it.
 */
export interface Points {
  run: string;
  name: string;
  step: readonly number[];
  tokens: readonly number[];
  /** Seconds of training. */
  seconds: readonly number[];
  value: readonly number[];
  /** How many raw points these stand for; more than there are means a min/max picture of them. */
  raw: number;
}

export const X_AXES = ['step', 'tokens', 'seconds'] as const;
export type XAxis = (typeof X_AXES)[number];

export const xOf = (points: Points, axis: XAxis): readonly number[] => points[axis];

/** Index of the first entry that is at least `x`, by bisection; the length if there is none. `xs` must not fall. */
export function lowerBound(xs: ArrayLike<number>, x: number): number {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (xs[middle]! < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the entry nearest to `x`; -1 for an empty list. */
export function nearestIndex(xs: ArrayLike<number>, x: number): number {
  if (xs.length === 0) return -1;
  const at = lowerBound(xs, x);
  if (at === 0) return 0;
  if (at === xs.length) return at - 1;
  return x - xs[at - 1]! <= xs[at]! - x ? at - 1 : at;
}

/** A range on the x axis of a chart. */
export type Range = readonly [number, number];

/** The steps that lie in a range of another axis, with one more on either side so that lines reach the edges. */
export function stepsWithin(points: Points, axis: XAxis, [from, to]: Range): Range | null {
  const xs = xOf(points, axis);
  if (xs.length === 0) return null;
  const first = Math.max(0, lowerBound(xs, from) - 1);
  const last = Math.min(xs.length - 1, lowerBound(xs, to));
  return [points.step[first]!, points.step[last]!];
}

/**
 * The overview with its part between the first and last step of `detail` replaced by `detail`'s points.
 * Where the detail is whole, so is what one sees: nothing is counted as left out then.
 */
export function splice(overview: Points, detail: Points): Points {
  if (detail.step.length === 0) return overview;
  const before = lowerBound(overview.step, detail.step[0]!);
  const after = lowerBound(overview.step, detail.step.at(-1)! + 1);
  const join = (key: 'step' | 'tokens' | 'seconds' | 'value') => [
    ...overview[key].slice(0, before),
    ...detail[key],
    ...overview[key].slice(after),
  ];
  const value = join('value');
  return {
    ...overview,
    step: join('step'),
    tokens: join('tokens'),
    seconds: join('seconds'),
    value,
    raw: detail.raw > detail.value.length ? overview.raw : value.length,
  };
}
