// Takes what main sent into the points that are here.
import type { Series } from '../../src-main/rpc/contract';
import { lowerBound, type Points } from './points';

const COLUMNS = ['step', 'tokens', 'seconds'] as const;

export const fromSeries = (series: Series): Points => ({
  run: series.run,
  name: series.name,
  step: series.step,
  tokens: series.tokens,
  seconds: series.seconds,
  value: series.value.map((value) => value ?? Number.NaN),
  raw: series.raw,
});

/**
 * Adds new points at the end. A resumed run does some steps anew: its points take the place of those at the same steps,
 * and older ones beyond them stay until the run gets there. Grows the columns in place and gives a new object.
 */
export function append(points: Points, more: Points): Points {
  const first = more.step[0];
  const last = more.step.at(-1);
  if (first === undefined || last === undefined) return points;
  const at = lowerBound(points.step, first);
  const after = lowerBound(points.step, last + 1);
  const replaced = after - at;
  const put = (into: number[], from: readonly number[]) => {
    if (at < into.length) into.splice(at, replaced, ...from);
    else for (const value of from) into.push(value);
  };
  for (const column of COLUMNS) put(points[column] as number[], more[column]);
  put(points.value as number[], more.value);
  return { ...points, raw: points.raw - replaced + Math.max(more.raw, more.value.length) };
}
