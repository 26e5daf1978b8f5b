// What is drawn: ranges, gaps, logarithmic axes, zoom, crosshair rows, exports.
import { describe, expect, it } from 'vitest';
import { markOf } from '../colours';
import { between, closest, moved, nextX, rowsAt, zoomed } from './crosshair';
import { linesCsv } from './csv';
import { exportOption, svgOf } from './export';
import {
  divergences,
  fromPixelX,
  fromPixelY,
  type Line,
  lineOption,
  pictureOf,
  toPixelX,
  toPixelY,
  type View,
} from './option';

const line = (id: string, x: number[], y: number[], rest: Partial<Line> = {}): Line => ({
  id,
  label: id,
  name: id,
  key: id,
  mark: markOf(0),
  x,
  y,
  points: { shown: x.length, raw: x.length },
  ...rest,
});
const view = (rest: Partial<View> = {}): View => ({
  axis: 'step',
  log: false,
  range: null,
  ignoreOutliers: false,
  focus: null,
  ...rest,
});
const look = { theme: 'dark' as const, locale: 'en' };
type Drawn = { id: string; type: string; data: Float64Array; lineStyle: { opacity: number; type: unknown } };
const drawn = (lines: Line[], v = view()) => (lineOption(lines, [], v, look) as { series: Drawn[] }).series;

describe('ranges', () => {
  it('cover all lines with a little air, and do not fall below zero for what never does', () => {
    const { x, y } = pictureOf([line('a', [0, 10], [0.1, 4]), line('b', [5, 20], [1, 2])], view());
    expect(x).toEqual([0, 20]);
    expect(y[0]).toBe(0);
    expect(y[1]).toBeGreaterThan(4);
    expect(y[1]).toBeLessThan(4.5);
  });
  it('follow what is visible when zoomed', () => {
    const { x, y } = pictureOf([line('a', [0, 1, 2, 3, 4, 5], [100, 90, 3, 2, 1, 50])], view({ range: [2.5, 3.5] }));
    expect(x).toEqual([2.5, 3.5]);
    expect(y[1]).toBeLessThan(4);
  });
  it('count and leave out what a logarithmic axis cannot show', () => {
    const picture = pictureOf([line('a', [0, 1, 2, 3], [0, -1, 1, 10])], view({ log: true }));
    expect(picture.dropped).toBe(2);
    expect(picture.y[0]).toBeGreaterThan(0.5);
    const [series] = drawn([line('a', [0, 1, 2, 3], [0, -1, 1, 10])], view({ log: true }));
    expect([...series!.data]).toEqual([0, Number.NaN, 1, Number.NaN, 2, 1, 3, 10]);
  });
  it('let a spike run out if outliers are ignored', () => {
    const y = Array.from({ length: 300 }, (_, i) => (i === 150 ? 1e6 : 2 + Math.sin(i)));
    const lines = [
      line(
        'a',
        y.map((_, i) => i),
        y,
      ),
    ];
    expect(pictureOf(lines, view()).y[1]).toBeGreaterThan(1e6);
    expect(pictureOf(lines, view({ ignoreOutliers: true })).y[1]).toBeLessThan(4);
  });
  it('are those of one value where values differ by rounding alone', () => {
    const lines = [line('a', [0, 1], [0.3, 0.1 + 0.2])];
    expect(pictureOf(lines, view()).y).toEqual([expect.closeTo(0.27), expect.closeTo(0.33)]);
    expect(pictureOf(lines, view({ log: true })).y).toEqual([expect.closeTo(0.2), expect.closeTo(0.45)]);
    expect(drawn(lines).length).toBeGreaterThan(0);
  });
  it('say when there is nothing', () => {
    expect(pictureOf([], view()).empty).toBe(true);
    expect(pictureOf([line('a', [1], [Number.NaN])], view()).empty).toBe(true);
    expect(pictureOf([line('a', [1], [5])], view()).x).toEqual([1, 2]);
  });
  it('count shown and raw points', () => {
    const { shown, raw } = pictureOf([line('a', [1], [1], { points: { shown: 2000, raw: 10_000 } })], view());
    expect([shown, raw]).toEqual([2000, 10_000]);
  });
});

describe('option', () => {
  it('draws the raw line faintly behind the smoothed one', () => {
    const series = drawn([line('a', [0, 1], [1, 2], { raw: [1, 3] })]);
    expect(series.map(({ id }) => id)).toEqual(['a|raw', 'a']);
    expect(series[0]!.lineStyle.opacity).toBeLessThan(0.4);
    expect(series[1]!.lineStyle.opacity).toBe(1);
  });
  it('dims the others when one is brought forward', () => {
    const series = drawn([line('a', [0], [1]), line('b', [0], [1])], view({ focus: 'b' }));
    expect(series.map(({ lineStyle }) => lineStyle.opacity)).toEqual([0.15, 1]);
  });
  it('hands over only what is visible, and one more on either side', () => {
    const [series] = drawn([line('a', [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5])], view({ range: [2.2, 2.8] }));
    expect([...series!.data]).toEqual([2, 2, 3, 3]);
  });
  it('marks where a run diverged', () => {
    expect(divergences([1, 2, 3, 4], [1, 2, Number.NaN, Number.NaN])).toEqual([1]);
    const series = drawn([line('a', [1, 2, 3], [1, 2, Number.NaN])]);
    expect(series.map(({ id }) => id)).toEqual(['a', 'a|diverged']);
    expect([...series[1]!.data]).toEqual([2, 2]);
  });
  it('writes the label ticks itself, so that a log axis over less than a decade has some', () => {
    const option = lineOption([line('a', [0, 1], [1.4, 5.5])], [], view({ log: true }), look) as {
      yAxis: { axisLabel: { customValues: number[] } };
    };
    expect(option.yAxis.axisLabel.customValues.length).toBeGreaterThanOrEqual(3);
  });
});

it('turns values into pixels and back', () => {
  const picture = pictureOf([line('a', [0, 10], [1, 100])], view({ log: true }));
  for (const x of [0, 3, 10]) expect(fromPixelX(toPixelX(x, picture, 640), picture, 640)).toBeCloseTo(x, 10);
  expect(toPixelY(10, picture, 240)).toBeCloseTo((toPixelY(1, picture, 240) + toPixelY(100, picture, 240)) / 2, 6);
  for (const log of [true, false])
    for (const y of [1, 10, 100])
      expect(fromPixelY(toPixelY(y, { ...picture, log }, 240), { ...picture, log }, 240)).toBeCloseTo(y, 10);
});

describe('crosshair', () => {
  const lines = [
    line('low', [0, 1, 2], [1, 1.5, 2], { raw: [1, 1.4, 2.2] }),
    line('high', [0, 2, 4], [5, 6, 7]),
    line('band', [0, 1], [3, 3], { band: { low: [2, 2], high: [4, 4], std: [1, 1], n: [2, 1] } }),
  ];
  it('lists the nearest point of each line, highest first, smoothed and raw', () => {
    const rows = rowsAt(lines, 1.1, [0, 4]);
    expect(rows.map((row) => [row.line.id, row.value, row.raw, row.std, row.n])).toEqual([
      ['high', 6, null, null, null],
      ['low', 1.5, 1.4, null, null],
    ]);
    expect(rowsAt(lines, 0, [0, 4])[1]).toMatchObject({ value: 3, std: 1, n: 2 });
  });
  it('keeps the rows nearest to the pointer when there are too many', () => {
    const { rows, more } = closest(rowsAt(lines, 0, [0, 4]), 1.2, 2);
    expect(rows.map((row) => row.line.id)).toEqual(['band', 'low']);
    expect(more).toBe(1);
  });
  it('steps from point to point over all lines', () => {
    expect([
      nextX(lines, 0, 1),
      nextX(lines, 1, 1),
      nextX(lines, 2, 1),
      nextX(lines, 4, 1),
      nextX(lines, 4, -1),
    ]).toEqual([1, 2, 4, null, 2]);
  });
  it('zooms about a place and lets go at the whole', () => {
    expect(zoomed([0, 100], 50, 0.5, [0, 100])).toEqual([25, 75]);
    expect(zoomed([25, 75], 50, 4, [0, 100])).toBeNull();
  });
  it('shows the part between two places unless it is too narrow, and moves no further than there are points', () => {
    expect(between(75, 25, null, [0, 100])).toEqual([25, 75]);
    expect(between(25, 25 + 1e-5, [0, 50], [0, 100])).toEqual([0, 50]);
    expect(moved([20, 40], 10, [0, 100])).toEqual([30, 50]);
    expect(moved([20, 40], 90, [0, 100])).toEqual([80, 100]);
    expect(moved([20, 40], -90, [0, 100])).toEqual([0, 20]);
  });
});

it('writes what is plotted as CSV, with names that no spreadsheet runs', () => {
  const csv = linesCsv([line('=a,"b"', [0, 1], [1, Number.NaN], { raw: [1.5, 2] })], 'step');
  expect(csv.split('\n')).toEqual(['line,step,value,raw,std,n', `"'=a,""b""",0,1,1.5,,`, `"'=a,""b""",1,,2,,`, '']);
});

it('draws an SVG with title, legend and one path a line', () => {
  const lines = [line('Mamba-2', [0, 1, 2], [3, 2, 1]), line('Attention', [0, 1, 2], [3, 2.5, 2], { mark: markOf(5) })];
  const svg = svgOf(
    exportOption(lines, [], view(), { theme: 'light', locale: 'en' }, { title: 'Loss', axis: 'Steps' }),
  );
  for (const text of ['Loss', 'Steps', 'Mamba-2', 'Attention']) expect(svg).toContain(`>${text}</text>`);
  expect(svg).toContain('stroke-dasharray');
});

it('draws bands in exports too', () => {
  const band = { low: [2, 1], high: [4, 3], std: [1, 1], n: [2, 2] };
  const option = (lines: Line[]) => exportOption(lines, [], view(), look, { title: 'Loss', axis: 'Steps' });
  const shapes = (svg: string) => svg.split('<path').length;
  const plain = svgOf(option([line('a', [0, 1], [3, 2])]));
  expect(shapes(svgOf(option([line('a', [0, 1], [3, 2], { band })])))).toBeGreaterThan(shapes(plain));
});
