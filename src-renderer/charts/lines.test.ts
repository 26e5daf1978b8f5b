// Lines from points: single runs, seeds joined, a lone seed marked.
import { expect, it } from 'vitest';
import { type Points, withFlops } from '../stores/points';
import { markOf } from './colours';
import { type Entry, metricLines } from './lines';
import { lossLines } from './loss/option';
import { drawing, linesOfMetric } from './metric/option';

const held = new Map<string, Points>();
const put = (run: string, name: string, value: number[]) => {
  const step = value.map((_, i) => i * 10);
  held.set(`${run} ${name}`, {
    run,
    name,
    step,
    tokens: step.map((s) => s * 64),
    seconds: step,
    value,
    raw: value.length * 4,
  });
};
put('a', 'loss/train', [4, 2, 8]);
put('b', 'loss/train', [6, 4, 8]);
put('a', 'loss/validation', [5, 3]);
const pointsOf = (run: string, name: string) => held.get(`${run} ${name}`);
const entry = (runs: string[], grouped = false): Entry => ({
  key: runs[0]!,
  label: runs.join('+'),
  mark: markOf(0),
  runs,
  grouped,
});
const settings = { axis: 'tokens' as const, smoothing: { kind: 'ema' as const, strength: 0.5 } };

it('smooths a run and keeps its raw line', () => {
  const [line] = metricLines([entry(['a'])], 'loss/train', pointsOf, settings);
  expect([...(line!.x as number[])]).toEqual([0, 640, 1280]);
  expect(line!.y[1]).toBeCloseTo(8 / 3, 12);
  expect(line!.raw).toEqual([4, 2, 8]);
  expect(line!.points).toEqual({ shown: 3, raw: 12 });
});

it('joins seeds into a mean with a band', () => {
  const [line] = metricLines([entry(['a', 'b'], true)], 'loss/train', pointsOf, {
    ...settings,
    smoothing: { kind: 'none', strength: 0 },
  });
  expect([...(line!.y as number[])]).toEqual([5, 3, 8]);
  expect(line!.band!.low[0]).toBeCloseTo(5 - Math.SQRT2, 12);
  expect(line!.label).toBe('a+b (n = 2)');
});

it('draws against FLOPs, seeds too, and leaves out runs whose cost is not known', () => {
  const costed = (run: string, name: string) => {
    const points = pointsOf(run, name);
    return points && withFlops(points, run === 'c' ? null : 2);
  };
  const bare = { ...settings, axis: 'flops' as const };
  expect(metricLines([entry(['a'])], 'loss/train', pointsOf, bare)).toEqual([]);
  const [one, joined] = metricLines([entry(['a']), entry(['a', 'b'], true)], 'loss/train', costed, bare);
  expect(one!.x).toEqual([0, 1280, 2560]);
  expect(joined!.x).toEqual([0, 1280, 2560]);
});

it('marks a lone seed as one, and draws no band', () => {
  const [line] = metricLines([entry(['a'], true)], 'loss/train', pointsOf, settings);
  expect(line!.label).toBe('a (n = 1)');
  expect(line!.band).toBeUndefined();
});

it('never smooths evaluations, and tells both losses apart', () => {
  const lines = lossLines([entry(['a'])], pointsOf, settings, { train: 'train', validation: 'val' });
  expect(lines.map(({ label, markers }) => [label, markers ?? false])).toEqual([
    ['a · train', false],
    ['a · val', true],
  ]);
  expect(lines[1]!.y).toEqual([5, 3]);
});

it('leaves out runs without the metric, and keeps a schedule exact', () => {
  expect(linesOfMetric([entry(['a'])], 'lr', pointsOf, settings)).toEqual([]);
  expect(drawing('lr').exact).toBe(true);
  expect(drawing('accuracy/validation[kv=8]').markers).toBe(true);
  expect(drawing('accuracy_sample/validation').markers).toBe(true);
  expect(drawing('tokens_per_s')).toEqual({ markers: false, exact: false });
});
