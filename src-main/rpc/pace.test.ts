// The pace of a run by the clock: what counts, what begins anew.
import { expect, it } from 'vitest';
import { Pace } from './pace';

it('counts the clock between sights of a running run, and forgets at a pause and a step back', () => {
  const pace = new Pace();
  const at = (now: number, step: number, status: 'running' | 'paused' = 'running') =>
    pace.see({ id: 'a', status, step }, now);
  expect(at(0, 10)).toBeNull();
  expect(at(1000, 20)).toBeNull(); // too soon
  expect(at(4000, 50)).toBe(0.1);
  expect(at(5000, 50)).toBe(0.125); // no step for a second: an evaluation counts
  expect(at(6000, 50, 'paused')).toBeNull();
  expect(at(60_000, 50)).toBeNull();
  expect(at(64_000, 54)).toBe(1);
  expect(at(65_000, 20)).toBeNull(); // resumed from an older checkpoint
  expect(at(70_000, 30)).toBe(0.5);
});

it('looks back no further than half a minute', () => {
  const pace = new Pace();
  for (let second = 0; second <= 100; second += 1)
    pace.see({ id: 'a', status: 'running', step: second * 10 }, second * 1000);
  let last: number | null = null;
  for (let second = 101; second <= 140; second += 1)
    last = pace.see({ id: 'a', status: 'running', step: 1000 + (second - 100) }, second * 1000);
  expect(last).toBe(1);
});
