// Points on screen: read once, then grown by what is new; forgotten when nobody shows them.
import { createPinia, setActivePinia } from 'pinia';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { effectScope, shallowRef } from 'vue';
import type { Message, Request, Series } from '../../src-main/rpc/contract';
import { connect } from '../rpc';
import { BUCKETS, RAW_BUCKETS, useMetrics, type Wanted } from './metrics';

type Ask = {
  runs: string[];
  names: string[];
  buckets: number;
  after?: Record<string, number>;
  from?: number;
  to?: number;
};

/** A main with one metric a step and a run; `steps` says how far each run is. */
function fakeMain(steps: Record<string, number>) {
  const asked: Ask[] = [];
  let tell: (message: Message) => void = () => undefined;
  let fails = false;
  const series = ({ runs, names, after, from = 1, to = Number.MAX_SAFE_INTEGER }: Ask): Series[] =>
    runs.flatMap((run) =>
      names.map((name) => {
        const first = after?.[run] === undefined ? from : after[run]! + 1;
        const last = name === 'missing' ? 0 : Math.min(to, steps[run] ?? 0);
        const step = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
        return {
          run,
          name,
          step,
          tokens: [...step],
          seconds: [...step],
          value: step.map((s) => (s === 2 ? null : s / 10)),
          raw: step.length,
          cursor: steps[run] ?? 0,
        };
      }),
    );
  connect({
    open({ message, state }) {
      tell = message;
      state('open');
    },
    send({ id, input }: Request) {
      asked.push(input as Ask);
      const reply: Message = fails
        ? { id, ok: false, error: { name: 'Error', message: 'the disk is full' } }
        : { id, ok: true, value: series(input as Ask) };
      setTimeout(() => tell(reply), 1);
    },
  });
  return {
    asked,
    advance(run: string, to: number) {
      steps[run] = to;
      tell({ notice: { kind: 'metrics', run, seq: to } });
    },
    fail(value: boolean) {
      fails = value;
    },
  };
}

const scope = effectScope();
beforeEach(() => {
  vi.useFakeTimers();
  setActivePinia(createPinia());
});
afterEach(() => {
  vi.useRealTimers();
});
const settle = () => vi.advanceTimersByTimeAsync(1000);

function show(want: Wanted) {
  const wanted = shallowRef(want);
  const metrics = useMetrics();
  const inner = scope.run(() => effectScope())!;
  inner.run(() => metrics.follow(() => wanted.value));
  return { metrics, wanted, stop: () => inner.stop() };
}

it('reads once, then asks only for what is new, and appends', async () => {
  const main = fakeMain({ a: 3, b: 2 });
  const { metrics } = show({ runs: ['a', 'b'], names: ['loss/train'] });
  await settle();
  expect(main.asked).toEqual([{ runs: ['a', 'b'], names: ['loss/train'], buckets: BUCKETS }]);
  const first = metrics.points('a', 'loss/train')!;
  expect(first.step).toEqual([1, 2, 3]);
  expect(first.value[1]).toBeNaN();

  main.advance('a', 5);
  main.advance('a', 6);
  await settle();
  expect(main.asked).toHaveLength(2);
  expect(main.asked[1]).toEqual({ runs: ['a'], names: ['loss/train'], buckets: BUCKETS, after: { a: 3 } });
  const grown = metrics.points('a', 'loss/train')!;
  expect(grown).not.toBe(first);
  expect(grown.step).toEqual([1, 2, 3, 4, 5, 6]);
  expect(grown.raw).toBe(6);
  expect(metrics.points('b', 'loss/train')!.step).toEqual([1, 2]);
});

it('asks nothing for runs that nobody shows', async () => {
  const main = fakeMain({ a: 1 });
  show({ runs: ['a'], names: ['loss/train'] });
  await settle();
  main.advance('other', 9);
  await settle();
  expect(main.asked).toHaveLength(1);
});

it('reads raw points apart from the picture', async () => {
  const main = fakeMain({ a: 1 });
  const { metrics } = show({ runs: ['a'], names: ['loss/train'], raw: true });
  await settle();
  expect(main.asked[0]!.buckets).toBe(RAW_BUCKETS);
  expect(metrics.points('a', 'loss/train')).toBeUndefined();
  expect(metrics.points('a', 'loss/train', true)!.step).toEqual([1]);
});

it('reads only what it lacks when more is wanted, and forgets what is not', async () => {
  const main = fakeMain({ a: 1, b: 1 });
  const { metrics, wanted, stop } = show({ runs: ['a'], names: ['loss/train'] });
  await settle();
  wanted.value = { runs: ['a', 'b'], names: ['loss/train'] };
  await settle();
  expect(main.asked[1]!.runs).toEqual(['b']);
  stop();
  expect(metrics.points('a', 'loss/train')).toBeUndefined();
});

it('says why a reading failed, and recovers', async () => {
  const main = fakeMain({ a: 1 });
  const { metrics } = show({ runs: ['a'], names: ['loss/train'] });
  await settle();
  main.fail(true);
  main.advance('a', 2);
  await settle();
  expect(String(metrics.error)).toContain('the disk is full');
  main.fail(false);
  main.advance('a', 3);
  await settle();
  expect(metrics.error).toBeNull();
  expect(metrics.points('a', 'loss/train')!.step).toEqual([1, 2, 3]);
});
