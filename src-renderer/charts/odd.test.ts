// Whatever numbers a run reports, charts come to an end, throw nothing, and give few ticks that are numbers within the range.
import { describe, expect, it } from 'vitest';
import { append } from '../stores/merge';
import type { Points } from '../stores/points';
import { splice, stepsWithin, xOf } from '../stores/points';
import { aggregate, meanStd } from './band';
import { markOf } from './colours';
import { clock, measured, spread, tick } from './format';
import { between, closest, moved, nextX, rowsAt, zoomed } from './line/crosshair';
import { linesCsv } from './line/csv';
import { exportOption, svgOf } from './line/export';
import { type Line, lineOption, pictureOf, toPixelX, toPixelY, type View } from './line/option';
import { type Entry, metricLines } from './lines';
import { SMOOTHINGS, smooth } from './smooth';
import { clockTicks, linearTicks, logTicks } from './ticks';

/** Numbers that arithmetic has trouble with: no numbers, ends of the range, values that rounding alone tells apart. */
const ODD = [
  0,
  -0,
  1,
  -1,
  0.3,
  0.1 + 0.2,
  1e-9,
  1e-17,
  5e-324,
  2.2e-308,
  1e9,
  1e9 + 1e-6,
  2 ** 53,
  2 ** 53 + 2,
  1e18,
  -1e18,
  1e38,
  1e300,
  Number.MAX_VALUE,
  -Number.MAX_VALUE,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
];

/** Uniform numbers in [0, 1) from a seed (mulberry32), so that a failure can be had again. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
/** What one seed gives: odd numbers, plain ones, and plain ones one rounding away from each other. */
function source(seed: number) {
  const next = random(seed);
  const whole = (below: number) => Math.floor(next() * below);
  const pick = <T>(list: readonly T[]): T => list[whole(list.length)]!;
  const shape = whole(4);
  const base = 10 ** (next() * 40 - 20);
  const number = (): number =>
    shape === 0 || next() < 0.15
      ? pick(ODD)
      : shape === 1
        ? base * (1 + pick([0, 1, 2, -1]) * Number.EPSILON)
        : (next() - (shape === 2 ? 0 : 0.5)) * base;
  const list = (length: number) => Array.from({ length }, number);
  return { next, whole, pick, number, list };
}
type Source = ReturnType<typeof source>;
/** Step, tokens and seconds of a run do not fall, and may stand still. */
const rising = ({ next, pick }: Source, length: number): number[] => {
  let at = pick([0, 1, 1e6, 2 ** 53, 1e17]);
  const by = pick([0, 1, 10, 1e-9]);
  return Array.from({ length }, () => {
    at += by * Math.round(next() * 2);
    return at;
  });
};

const MOST_TICKS = 40;
function expectTicks(ticks: readonly number[], [low, high]: readonly [number, number]): void {
  expect(ticks.length).toBeLessThanOrEqual(MOST_TICKS);
  for (const one of ticks) {
    expect(Number.isFinite(one)).toBe(true);
    if (!(Number.isFinite(low) && Number.isFinite(high) && low <= high)) continue;
    const slack = 1e-6 * Math.max(high - low, Math.abs(low), Math.abs(high));
    expect(one).toBeGreaterThanOrEqual(low - slack);
    expect(one).toBeLessThanOrEqual(high + slack);
  }
}

describe('ticks', () => {
  const makers = { linearTicks, logTicks, clockTicks };
  for (const [name, make] of Object.entries(makers)) {
    it(`${name} of every pair of odd numbers, whatever their order`, () => {
      for (const low of ODD)
        for (const high of ODD) for (const wanted of [0, 1, 5, 12]) expectTicks(make([low, high], wanted), [low, high]);
    });
    it(`${name} of ranges from a rounding to the whole of what numbers hold`, () => {
      for (let seed = 1; seed <= 3000; seed++) {
        const { number, next } = source(seed);
        const low = number();
        const range = [low, low + Math.abs(low) * 10 ** (next() * 40 - 20)] as const;
        expectTicks(make(range, 6), range);
      }
    });
  }
  it('a range that can be read has at least two', () => {
    for (let seed = 1; seed <= 1000; seed++) {
      const { next } = source(seed);
      const low = 10 ** (next() * 24 - 12);
      const high = low * (2 + 10 ** (next() * 8));
      for (const make of Object.values(makers)) expect(make([low, high], 6).length).toBeGreaterThanOrEqual(2);
    }
  });
});

it('formats write every number', () => {
  for (const value of ODD)
    for (const locale of ['en', 'ru']) {
      for (const text of [measured(value, locale), tick(value, locale), clock(value)]) {
        expect(text).toMatch(/\S/);
        expect(text).not.toContain('NaN');
      }
      expect(tick(value, locale).length).toBeLessThan(12);
      expect(spread({ mean: value, std: value, n: 2 }, locale)).toContain('±');
    }
});

it('smoothing leaves gaps where values are none, and is as long as they are', () => {
  for (let seed = 1; seed <= 400; seed++) {
    const given = source(seed);
    const values = given.list(given.whole(60));
    for (const kind of SMOOTHINGS)
      for (const strength of [0, 0.5, 0.99]) {
        const out = smooth(values, { kind, strength });
        expect(out.length).toBe(values.length);
        if (kind !== 'none' && strength > 0)
          for (const [i, value] of values.entries()) if (!Number.isFinite(value)) expect(out[i]).toBeNaN();
      }
  }
});
it('smoothing forgets a spike once it is out of the window', () => {
  const values = [...Array(50).fill(2), 1e30, ...Array(50).fill(2)];
  for (const kind of ['running', 'centred', 'gaussian'] as const)
    expect(smooth(values, { kind, strength: 0.5 })[80]).toBe(2);
});

/** A run's points with odd values. */
function pointsOf(given: Source, run: string, length = given.pick([0, 1, 2, 3, 40, 250])): Points {
  const step = rising(given, length);
  return {
    run,
    name: 'loss/train',
    step,
    tokens: step.map((at) => at * given.pick([1, 64])),
    seconds: rising(given, length),
    value: given.list(length),
    raw: length * given.pick([0, 1, 4]),
    tokenFlops: given.pick([undefined, 1, 1e12]),
  };
}

it('bands over seeds of any lengths keep means and deviations of equal length, steps rising', () => {
  for (let seed = 1; seed <= 400; seed++) {
    const given = source(seed);
    const band = aggregate(Array.from({ length: given.whole(5) }, (_, i) => pointsOf(given, String(i))));
    for (const column of [band.tokens, band.seconds, band.mean, band.std, band.n])
      expect(column.length).toBe(band.step.length);
    expect(band.step).toEqual([...band.step].sort((a, b) => a - b));
    const total = meanStd(given.list(given.whole(6)));
    if (total) expect(total.n).toBeGreaterThan(0);
  }
});

it('points can be joined, spliced and found in ranges, empty ones too', () => {
  for (let seed = 1; seed <= 400; seed++) {
    const given = source(seed);
    const [overview, detail] = [pointsOf(given, 'a'), pointsOf(given, 'a')];
    for (const axis of ['step', 'tokens', 'seconds', 'flops'] as const) {
      expect(stepsWithin(overview, axis, [given.number(), given.number()])?.length ?? 2).toBe(2);
      expect(xOf(overview, axis).length).toBe(axis === 'flops' && !overview.tokenFlops ? 0 : overview.step.length);
    }
    const spliced = splice(overview, detail);
    for (const column of [spliced.step, spliced.tokens, spliced.seconds])
      expect(column.length).toBe(spliced.value.length);
    const grown = append(overview, detail);
    for (const column of [grown.step, grown.tokens, grown.seconds]) expect(column.length).toBe(grown.value.length);
  }
});

const look = { theme: 'light', locale: 'en' } as const;
/** What the Compare page would draw from one seed: runs alone or joined, smoothed or not, zoomed or whole. */
function chart(seed: number): { lines: Line[]; view: View; given: Source } {
  const given = source(seed);
  const runs = new Map(Array.from({ length: given.whole(5) }, (_, i) => [String(i), pointsOf(given, String(i))]));
  const grouped = given.pick([true, false]);
  const ids = [...runs.keys()];
  const entries = (grouped ? [ids] : ids.map((id) => [id])).map(
    (of, i): Entry => ({ key: String(i), label: `run ${i}`, mark: markOf(i), runs: of, grouped }),
  );
  const axis = given.pick(['step', 'tokens', 'seconds', 'flops'] as const);
  const smoothing = { kind: given.pick(SMOOTHINGS), strength: given.pick([0, 0.8, 0.99]) };
  const lines = metricLines(entries, 'loss/train', (run) => runs.get(run), {
    axis,
    smoothing,
    markers: given.pick([true, false]),
  });
  const all = pictureOf(lines, { axis, log: false, ignoreOutliers: false, range: null, focus: null }).x;
  const place = () => all[0] + given.next() * (all[1] - all[0]);
  const range = given.pick([null, between(place(), place(), null, all), between(place(), all[0], null, all)]);
  const view = { axis, log: given.pick([true, false]), ignoreOutliers: given.pick([true, false]), range, focus: null };
  return { lines, view, given };
}
/** Drawing a picture takes milliseconds, so fewer of them are tried. */
const DRAWN = 120;

describe('charts', () => {
  it('have ranges of some length whose ends are numbers, and places in pixels', () => {
    for (let seed = 1; seed <= 1500; seed++) {
      const { lines, view } = chart(seed);
      const picture = pictureOf(lines, view);
      for (const [low, high] of [picture.x, picture.y]) {
        expect(Number.isFinite(low) && Number.isFinite(high), `seed ${seed}`).toBe(true);
        expect(high, `seed ${seed}`).toBeGreaterThan(low);
      }
      if (view.log) expect(picture.y[0]).toBeGreaterThan(0);
      for (const end of picture.x) expect(Number.isFinite(toPixelX(end, picture, 640))).toBe(true);
      for (const end of picture.y) expect(Number.isFinite(toPixelY(end, picture, 240))).toBe(true);
    }
  });
  it('have few ticks on either axis', () => {
    type Axis = { min: number; max: number; axisTick: { customValues: number[] } };
    for (let seed = 1; seed <= 1500; seed++) {
      const { lines, view } = chart(seed);
      const { xAxis, yAxis } = lineOption(lines, [{ label: 'guess', value: 5.5 }], view, look) as Record<string, Axis>;
      for (const { min, max, axisTick } of [xAxis!, yAxis!]) expectTicks(axisTick.customValues, [min, max]);
    }
  });
  it('are drawn', () => {
    for (let seed = 1; seed <= DRAWN; seed++) {
      const { lines, view } = chart(seed);
      const caption = { title: 'Loss', axis: 'Steps' };
      expect(svgOf(exportOption(lines, [{ label: 'guess', value: 5.5 }], view, look, caption))).toContain('</svg>');
      expect(linesCsv(lines, view.axis).split('\n').length).toBe(2 + lines.reduce((sum, { x }) => sum + x.length, 0));
    }
  });
  it('have a crosshair that finds points, steps on to an end, and zooms to no less than can be shown', () => {
    for (let seed = 1; seed <= 600; seed++) {
      const { lines, view, given } = chart(seed);
      const { x } = pictureOf(lines, view);
      const all = pictureOf(lines, { ...view, range: null }).x;
      const at = x[0] + given.next() * (x[1] - x[0]);
      const rows = rowsAt(lines, at, x);
      for (const row of rows) expect(Number.isFinite(row.value)).toBe(true);
      expect(closest(rows, given.number(), 2).rows.length).toBe(Math.min(2, rows.length));
      for (const direction of [1, -1] as const) {
        let [here, steps]: [number | null, number] = [at, 0];
        while (here !== null && steps++ < 2000) here = nextX(lines, here, direction);
        expect(here).toBeNull();
      }
      let range = x;
      for (let i = 0; i < 60; i++) range = zoomed(range, at, given.pick([0.3, 1.5]), all) ?? all;
      range = moved(range, given.pick([-1e9, 1e-3, 1e9]), all);
      expect(range[1]).toBeGreaterThan(range[0]);
      expect(between(at, at, null, all)).toBeNull();
    }
  });
});
