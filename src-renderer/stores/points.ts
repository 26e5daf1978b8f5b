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
  /** FLOPs of training the run by one token, forward and backward; absent until its model is built. */
  tokenFlops?: number;
}

/** `flops`: of training so far. */
export const X_AXES = ['step', 'tokens', 'seconds', 'flops'] as const;
export type XAxis = (typeof X_AXES)[number];

const priced = new WeakMap<Points, Points>();
/** The points with the cost of their run's tokens; the same object for the same points. */
export function withFlops(points: Points, tokenFlops: number | null | undefined): Points {
  if (!tokenFlops) return points;
  let kept = priced.get(points);
  if (kept?.tokenFlops !== tokenFlops) {
    kept = { ...points, tokenFlops };
    priced.set(points, kept);
  }
  return kept;
}

const spent = new WeakMap<Points, readonly number[]>();
/** Where the points lie on an axis; nowhere on that of FLOPs while what a token costs is not known. */
export function xOf(points: Points, axis: XAxis): readonly number[] {
  if (axis !== 'flops') return points[axis];
  const { tokenFlops } = points;
  if (tokenFlops === undefined) return [];
  let kept = spent.get(points);
  if (!kept) {
    kept = points.tokens.map((tokens) => tokens * tokenFlops);
    spent.set(points, kept);
  }
  return kept;
}

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
