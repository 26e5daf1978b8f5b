// Lines over steps, tokens or time: from numbers to an ECharts option, and to where things lie in pixels.
import type { EChartsCoreOption } from 'echarts/core';
import { lowerBound, type Range, type XAxis } from '../../stores/points';
import { colourOf, DASH_LENGTHS, type Mark, type Theme } from '../colours';
import { clock, tick } from '../format';
import { clockTicks, linearTicks, logTicks } from '../ticks';

/** One line of a chart. All columns are as long as `x`, which does not fall; gaps are NaN. */
export interface Line {
  id: string;
  /** As a legend says it: name, part and number of seeds. */
  label: string;
  name: string;
  /** Which of two metrics of one chart this is. */
  part?: string;
  /** The row of the list that it belongs to: pointing at that row brings it forward. */
  key: string;
  mark: Mark;
  x: ArrayLike<number>;
  /** What is drawn strongly: smoothed, or the mean of a group. */
  y: ArrayLike<number>;
  /** Values before smoothing, drawn faintly behind. */
  raw?: ArrayLike<number>;
  band?: { low: ArrayLike<number>; high: ArrayLike<number>; std: ArrayLike<number>; n: ArrayLike<number> };
  /** Few points, each of which counts: evaluations. */
  markers?: boolean;
  /** How many points the line has, and how many raw ones they stand for. */
  points: { shown: number; raw: number };
}
/** A level drawn across, such as the loss of guessing. */
export interface Level {
  label: string;
  value: number;
}

export interface View {
  axis: XAxis;
  log: boolean;
  /** Part of the x axis that is shown; null for all of it. */
  range: Range | null;
  /** Lets single spikes run out of the picture instead of flattening the rest. */
  ignoreOutliers: boolean;
  focus: string | null;
}
export interface Look {
  theme: Theme;
  locale: string;
}

/** Pixels between the plot and the edges of its box; the same in all charts, so that their crosshairs stand in one column. */
export const MARGIN = { left: 56, right: 14, top: 8, bottom: 24 } as const;

/** What will be seen: the ranges of both axes, and what could not be drawn. */
export interface Picture {
  x: Range;
  y: Range;
  log: boolean;
  /** Values of zero or less that a logarithmic axis has no place for. */
  dropped: number;
  shown: number;
  raw: number;
  empty: boolean;
}

/** First and past-the-last index of the points within the range, one more on either side so that lines reach the edges. */
function windowOf(line: Line, range: Range | null): [number, number] {
  if (!range) return [0, line.x.length];
  return [Math.max(0, lowerBound(line.x, range[0]) - 1), Math.min(line.x.length, lowerBound(line.x, range[1]) + 1)];
}

/** Decides both ranges from what the view lets be seen. */
export function pictureOf(lines: readonly Line[], { range, log, ignoreOutliers }: View): Picture {
  let [left, right] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let dropped = 0;
  let [shown, raw] = [0, 0];
  const seen: number[] = [];
  for (const line of lines) {
    shown += line.points.shown;
    raw += line.points.raw;
    if (line.x.length === 0) continue;
    const [first, last] = [line.x[0]!, line.x[line.x.length - 1]!];
    if (Number.isFinite(first)) left = Math.min(left, first);
    if (Number.isFinite(last)) right = Math.max(right, last);
    const [from, to] = windowOf(line, range);
    for (const column of [line.y, line.raw, line.band?.low, line.band?.high])
      for (let i = from; column && i < to; i++) {
        const value = column[i]!;
        if (Number.isFinite(value) && (!log || value > 0)) seen.push(value);
      }
    const given = line.raw ?? line.y;
    for (let i = from; log && i < to; i++) if (given[i]! <= 0) dropped += 1;
  }
  const empty = seen.length === 0;
  // Beside a count of FLOPs, one more is the same number.
  const x: Range = range ?? (left <= right ? [left, right > left ? right : left + Math.max(1, left / 100)] : [0, 1]);
  return {
    x,
    y: empty ? (log ? [0.1, 1] : [0, 1]) : around(seen, log, ignoreOutliers),
    log,
    dropped,
    shown,
    raw,
    empty,
  };
}

/** Values whose spread is a smaller share of them than this are one value that arithmetic has rounded several ways. */
const ROUNDING = 1e-6;
/** Sizes that an axis ends at, so that the ways between them and the air around them are numbers too. */
const [SMALLEST, LARGEST] = [1e-250, 1e250];

/** The extent of the values with a little air; without the outermost hundredth on either side if outliers are ignored. */
function around(values: number[], log: boolean, ignoreOutliers: boolean): Range {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  if (ignoreOutliers && values.length >= 100) {
    const sorted = Float64Array.from(values).sort();
    const cut = Math.floor(sorted.length / 100);
    low = sorted[cut]!;
    high = sorted[sorted.length - 1 - cut]!;
  } else
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  const within = (value: number) => Math.min(LARGEST, Math.max(log ? SMALLEST : -LARGEST, value));
  [low, high] = [within(low), within(high)];
  const apart = high - low > ROUNDING * Math.max(Math.abs(low), Math.abs(high));
  if (log) {
    const air = apart ? Math.exp((Math.log(high) - Math.log(low)) * 0.04) : 1.5;
    return [low / air, high * air];
  }
  const air = apart ? (high - low) * 0.05 : Math.max(Math.abs(high) * 0.1, 1e-9);
  // A quantity that never falls below zero is not shown as if it could.
  return [low >= 0 && low - air < 0 ? 0 : low - air, high + air];
}

/** Pixels from the left of the box; `width` is the box's. */
export const toPixelX = (x: number, picture: Picture, width: number): number =>
  MARGIN.left + ((x - picture.x[0]) / (picture.x[1] - picture.x[0])) * (width - MARGIN.left - MARGIN.right);
export const fromPixelX = (px: number, picture: Picture, width: number): number =>
  picture.x[0] + ((px - MARGIN.left) / (width - MARGIN.left - MARGIN.right)) * (picture.x[1] - picture.x[0]);
/** Pixels from the top of the box; NaN for a value that a logarithmic axis has no place for. */
export function toPixelY(y: number, { y: [low, high], log }: Picture, height: number): number {
  // Logarithms are subtracted, since a quotient of the ends may be too large for a number.
  const along = (value: number) => (log ? Math.log(value) : value) - (log ? Math.log(low) : low);
  return height - MARGIN.bottom - (along(y) / along(high)) * (height - MARGIN.top - MARGIN.bottom);
}
export function fromPixelY(px: number, { y: [low, high], log }: Picture, height: number): number {
  const share = (height - MARGIN.bottom - px) / (height - MARGIN.top - MARGIN.bottom);
  return log ? Math.exp(Math.log(low) + share * (Math.log(high) - Math.log(low))) : low + share * (high - low);
}

/** Two columns as the interleaved pairs that ECharts reads without copying; what cannot be drawn becomes a gap. */
function pairs(x: ArrayLike<number>, y: ArrayLike<number>, from: number, to: number, log: boolean): Float64Array {
  const out = new Float64Array(Math.max(0, to - from) * 2);
  for (let i = from, o = 0; i < to; i++) {
    const value = y[i]!;
    out[o++] = x[i]!;
    out[o++] = Number.isFinite(value) && (!log || value > 0) ? value : Number.NaN;
  }
  return out;
}

/** The last finite points before a value that was not a number: there the run diverged. */
export function divergences(x: ArrayLike<number>, y: ArrayLike<number>): number[] {
  const at: number[] = [];
  for (let i = 1; i < x.length; i++) if (Number.isNaN(y[i]!) && Number.isFinite(y[i - 1]!)) at.push(i - 1);
  return at;
}

const INK = {
  light: { text: '#46515d', grid: '#e1e5ea', axis: '#a9b3be', level: '#5f6b78', panel: '#f8f9fa' },
  dark: { text: '#b0bac5', grid: '#2a3038', axis: '#46505c', level: '#8c97a4', panel: '#1a1e23' },
} as const;
export const backgroundOf = (theme: Theme): string => INK[theme].panel;

const BASE = {
  type: 'line',
  dimensions: ['x', 'y'],
  silent: true,
  animation: false,
  symbol: 'none',
  triggerLineEvent: false,
} as const;

/** The ECharts option of the lines under a view. */
export function lineOption(
  lines: readonly Line[],
  levels: readonly Level[],
  view: View,
  look: Look,
): EChartsCoreOption {
  const picture = pictureOf(lines, view);
  const ink = INK[look.theme];
  const series = lines.flatMap((line) => seriesOf(line, picture, view, look));
  const within = levels.filter(({ value }) => value >= picture.y[0] && value <= picture.y[1]);
  if (within.length)
    series.push({
      ...BASE,
      id: 'levels',
      data: [],
      markLine: {
        silent: true,
        symbol: 'none',
        lineStyle: { color: ink.level, type: [2, 4], width: 1 },
        label: { position: 'insideEndTop', color: ink.level, fontSize: 11, formatter: '{b}' },
        data: within.map(({ label, value }) => ({ name: label, yAxis: value })),
      },
    });
  const label = { color: ink.text, fontSize: 11 };
  const xTicks = (view.axis === 'seconds' ? clockTicks : linearTicks)(picture.x, 6);
  const yTicks = view.log ? logTicks(picture.y, 5) : linearTicks(picture.y, 5);
  return {
    animation: false,
    backgroundColor: 'transparent',
    grid: { ...MARGIN, containLabel: false, outerBoundsMode: 'none' },
    xAxis: {
      type: 'value',
      min: picture.x[0],
      max: picture.x[1],
      axisLine: { lineStyle: { color: ink.axis }, onZero: false },
      axisTick: { lineStyle: { color: ink.axis }, customValues: xTicks },
      axisLabel: {
        ...label,
        customValues: xTicks,
        hideOverlap: true,
        formatter: (x: number) => (view.axis === 'seconds' ? clock(x) : tick(x, look.locale)),
      },
      splitLine: { show: false },
    },
    yAxis: {
      type: view.log ? 'log' : 'value',
      min: picture.y[0],
      max: picture.y[1],
      axisLine: { show: false },
      axisTick: { show: false, customValues: yTicks },
      axisLabel: { ...label, customValues: yTicks, formatter: (y: number) => tick(y, look.locale) },
      splitLine: { lineStyle: { color: ink.grid } },
    },
    series,
  };
}

type Series = Record<string, unknown>;

function seriesOf(line: Line, picture: Picture, view: View, look: Look): Series[] {
  const colour = colourOf(line.mark, look.theme);
  const away = view.focus !== null && view.focus !== line.key;
  const near = view.focus === line.key;
  const [from, to] = windowOf(line, view.range);
  const pairsOf = (y: ArrayLike<number>) => pairs(line.x, y, from, to, view.log);
  const strength = away ? 0.15 : 1;
  const out: Series[] = [];
  if (line.band) out.push(bandOf(line, from, to, picture, colour, away ? 0.04 : 0.18));
  if (line.raw)
    out.push({
      ...BASE,
      id: `${line.id}|raw`,
      z: 1,
      data: pairsOf(line.raw),
      sampling: 'minmax',
      lineStyle: { color: colour, width: 1, opacity: away ? 0.05 : 0.28 },
    });
  const dots = line.markers && to - from <= 200;
  // The one that a legend takes its look from: its companions have no name.
  out.push({
    ...BASE,
    id: line.id,
    name: line.label,
    z: near ? 4 : 2,
    data: pairsOf(line.y),
    ...(line.markers
      ? { symbol: 'circle', symbolSize: near ? 7 : 5, showSymbol: dots, showAllSymbol: true }
      : { sampling: 'minmax' }),
    itemStyle: { color: colour, opacity: strength },
    lineStyle: {
      color: colour,
      width: (line.markers ? 1.25 : 1.75) + (near ? 0.75 : 0),
      opacity: strength,
      type: line.mark.dash === 'solid' ? 'solid' : DASH_LENGTHS[line.mark.dash],
      cap: 'butt',
    },
  });
  const ends = divergences(line.x, line.raw ?? line.y).filter(
    (i) => i >= from && i < to && (!view.log || line.y[i]! > 0),
  );
  if (ends.length)
    out.push({
      ...BASE,
      id: `${line.id}|diverged`,
      z: 5,
      data: Float64Array.from(ends.flatMap((i) => [line.x[i]!, line.y[i]!])),
      symbol: 'path://M0,0L10,10M10,0L0,10',
      symbolSize: 9,
      showSymbol: true,
      showAllSymbol: true,
      itemStyle: { color: 'transparent', borderColor: colour, borderWidth: 2, opacity: strength },
      lineStyle: { width: 0 },
    });
  return out;
}

/** Mean ± deviation as one filled shape. */
function bandOf(line: Line, from: number, to: number, picture: Picture, colour: string, opacity: number): Series {
  const { low, high } = line.band!;
  const floor = picture.y[0];
  return {
    type: 'custom',
    id: `${line.id}|band`,
    silent: true,
    animation: false,
    clip: true,
    z: 0,
    data: [[picture.x[0], picture.y[0]]],
    renderItem: (_: unknown, api: { coord(point: number[]): number[] }) => {
      const points: number[][] = [];
      const finite = (i: number) =>
        Number.isFinite(low[i]) && Number.isFinite(high[i]) && (!picture.log || high[i]! > 0);
      for (let i = from; i < to; i++) if (finite(i)) points.push(api.coord([line.x[i]!, high[i]!]));
      // A logarithmic axis has no place for zero: the shape goes down to the edge there.
      for (let i = to - 1; i >= from; i--)
        if (finite(i)) points.push(api.coord([line.x[i]!, picture.log && low[i]! <= 0 ? floor : low[i]!]));
      return { type: 'polygon', shape: { points }, style: { fill: colour, opacity } };
    },
  };
}
