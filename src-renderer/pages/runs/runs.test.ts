// The filter of the list, and events as lines of text.
import { describe, expect, it } from 'vitest';
import type { RunRow } from '../../../src-main/rpc/contract';
import { allows } from '../../stores/runs';
import { parseFilter } from './filter';
import { logLine } from './logline';
import { noSamples } from './samples';

const row = (rest: Partial<RunRow>): RunRow =>
  ({
    id: 'r1',
    name: 'quiet heron',
    blocks: 'mamba2 + gated_mlp ×4',
    task: 'text',
    status: 'running',
    device: 'cpu',
    seed: 1,
    step: 10,
    steps: 100,
    last: { 'loss/train': 2.1, lr: 1e-3 },
    best: {},
    ...rest,
  }) as RunRow;
const hits = (text: string, run = row({})) => parseFilter(text).filter(run);

describe('filter', () => {
  it('finds words anywhere, all of them', () => {
    expect([hits(''), hits('heron'), hits('MAMBA2 text'), hits('heron attention'), hits('"quiet heron"')]).toEqual([
      true,
      true,
      true,
      false,
      true,
    ]);
  });
  it('compares numbers', () => {
    expect([
      hits('loss<2.2'),
      hits('loss<2'),
      hits('lr<=1e-3 seed=1'),
      hits('seed!=1'),
      hits('validation<9'),
      hits('loss/train>2'),
    ]).toEqual([true, false, true, false, false, true]);
  });
  it('compares words', () => {
    expect([
      hits('status=running'),
      hits('status:run'),
      hits('block==mamba2'),
      hits('block=mamba'),
      hits('block:mamba'),
    ]).toEqual([true, true, true, false, true]);
  });
  it('takes a pattern', () => {
    expect([hits('/^quiet/'), hits('/^heron/')]).toEqual([true, false]);
  });
  it('points at the part that is wrong, and hides nothing because of it', () => {
    expect(parseFilter('heron los<2').problem).toMatchObject({ token: 'los<2', key: 'field' });
    expect(parseFilter('loss<abc').problem).toMatchObject({ token: 'loss<abc', key: 'number' });
    expect(parseFilter('/(/').problem).toMatchObject({ key: 'pattern' });
    for (const token of ['__proto__:x', 'constructor=1'])
      expect(parseFilter(token).problem).toMatchObject({ token, key: 'field' });
    expect(hits('los<2')).toBe(true);
  });
});

it('allows only the actions that fit', () => {
  const can = (status: RunRow['status'], resumable = false) =>
    (['pause', 'resume', 'step', 'stop'] as const).filter((action) => allows(action, { status, resumable }));
  expect(can('queued')).toEqual(['stop']);
  expect(can('running')).toEqual(['pause', 'stop']);
  expect(can('paused')).toEqual(['resume', 'step', 'stop']);
  expect(can('interrupted', true)).toEqual(['resume']);
  expect(can('finished')).toEqual([]);
});

it('writes events as lines', () => {
  expect(
    logLine({
      seq: 1,
      at: 0,
      kind: 'metric',
      step: 1,
      tokens: 1,
      seconds: 1,
      values: { 'loss/train': 5.123456, lr: null },
    }),
  ).toBe('loss/train 5.1235  lr NaN');
  expect(logLine({ seq: 2, at: 0, kind: 'ended', step: 1, status: 'finished', why: 'all 10 steps done' })).toBe(
    'finished: all 10 steps done',
  );
});

it('tells why a run has no samples', () => {
  const asked = { samples: { every: 100, length: 9, prompt: '', temperature: 1 } };
  const text = { kind: 'text' } as const;
  expect(noSamples(row({}), asked, text)).toBe('noSamples');
  expect(noSamples(row({}), asked, undefined)).toBe('noSamples');
  expect(noSamples(row({ status: 'finished' }), asked, text)).toBe('noSamplesCame');
  expect(noSamples(row({}), { samples: { ...asked.samples, every: 0 } }, text)).toBe('noSamplesAsked');
  expect(noSamples(row({ status: 'finished' }), asked, { kind: 'synthetic' })).toBe('noSamplesText');
});
