// Where the ticks of an axis stand: round numbers, for linear, logarithmic and time axes.
import type { Range } from '../stores/points';

const nice = (rough: number): number => {
  const power = 10 ** Math.floor(Math.log10(rough));
  const lead = rough / power;
  return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
};
function multiples(step: number, [low, high]: Range): number[] {
  // Counted in whole steps, so that no error adds up; the slack keeps a tick that lies on the edge.
  const first = Math.ceil(low / step - 1e-9);
  const length = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Shares of a value below which two values are not told apart: a label could not write them as two, and steps between them can't be counted. */
const SAME = 1e-9;
/** Spans outside of these have steps that are no normal numbers. */
const [LEAST, MOST] = [1e-300, 1e300];
/** Whether round numbers can be counted from end to end of the range. */
function isCountable([low, high]: Range): boolean {
  const span = high - low;
  return span < MOST && span > Math.max(LEAST, SAME * Math.max(Math.abs(low), Math.abs(high)));
}

/**
 * At most about `wanted` round numbers within the range; its lower end alone where both ends are one number to a reader,
 * and whichever ends are numbers where the way between them is none.
 */
export function linearTicks(range: Range, wanted: number): number[] {
  const span = range[1] - range[0];
  if (isCountable(range)) return multiples(nice(span / Math.max(1, wanted)), range);
  return Number.isFinite(span) ? [range[0]] : range.filter(Number.isFinite);
}

/** Powers of ten, with 2 and 5 between them where there is room; round numbers where the range is narrow. None for a range that reaches zero or has no end. */
export function logTicks(range: Range, wanted: number): number[] {
  const [low, high] = range;
  if (!(low > 0 && Number.isFinite(high))) return [];
  const decades = Math.log10(high) - Math.log10(low);
  if (decades < 0.7) return linearTicks(range, wanted);
  const every = Math.max(1, Math.ceil(decades / wanted));
  const leads = decades * 3 <= wanted + 2 ? [1, 2, 5] : decades * 2 <= wanted ? [1, 3] : [1];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1)
    if (power % every === 0)
      for (const lead of leads) {
        const tick = Number((lead * 10 ** power).toPrecision(12));
        if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9) && Number.isFinite(tick)) ticks.push(tick);
      }
  return ticks;
}

const CLOCK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];

/** Seconds at which a clock is round: every 15 s, 5 min, 2 h. */
export function clockTicks(range: Range, wanted: number): number[] {
  const rough = (range[1] - range[0]) / Math.max(1, wanted);
  if (!(rough > 0.5 && isCountable(range))) return linearTicks(range, wanted);
  const step = CLOCK_STEPS.find((s) => s >= rough) ?? nice(rough / 86_400) * 86_400;
  return multiples(step, range);
}
