// Schedules at their corners.
import { describe, expect, it } from 'vitest';
import type { ScheduleSpec } from './run';
import { lrAt } from './schedule';

const schedule = (kind: ScheduleSpec['kind'], rest: Partial<ScheduleSpec> = {}): ScheduleSpec => ({
  kind,
  warmup: 10,
  final: 0.1,
  decay: 0.2,
  ...rest,
});
const at = (s: ScheduleSpec, steps: number, step: number) => lrAt(s, 2, steps, step);

describe('lrAt', () => {
  it('exponential falls by one factor, and ends above zero', () => {
    const s = schedule('exponential');
    const rates = [10, 30, 60, 109].map((step) => at(s, 110, step));
    expect(rates[0]).toBe(2);
    expect(rates[1]! / rates[0]!).toBeCloseTo(0.1 ** 0.2, 12);
    expect(rates[2]! / rates[1]!).toBeCloseTo(0.1 ** 0.3, 12);
    expect(at(s, 110, 110)).toBeCloseTo(0.2, 12);
    expect(at(schedule('exponential', { final: 0 }), 110, 110)).toBeCloseTo(2e-3, 12);
  });

  for (const kind of ['constant', 'linear', 'cosine', 'wsd', 'exponential'] as const)
    it(`${kind} warms up in equal parts to the peak and never exceeds it`, () => {
      const s = schedule(kind);
      expect(at(s, 110, 0)).toBeCloseTo(0.2, 12);
      expect(at(s, 110, 4)).toBeCloseTo(1, 12);
      expect(at(s, 110, 9)).toBe(2);
      expect(at(s, 110, 10)).toBe(2);
      for (let step = 1; step < 200; step++) {
        expect(at(s, 110, step)).toBeLessThanOrEqual(2);
        expect(at(s, 110, step)).toBeGreaterThan(0);
      }
      expect(at(schedule(kind, { warmup: 0 }), 110, 0)).toBe(2);
    });

  it('halves where it should, and ends at the final share', () => {
    expect(at(schedule('constant'), 110, 109)).toBe(2);
    expect(at(schedule('linear'), 110, 60)).toBeCloseTo(1.1, 12);
    expect(at(schedule('cosine'), 110, 60)).toBeCloseTo(1.1, 12);
    expect(at(schedule('cosine'), 110, 35)).toBeCloseTo(2 * (0.1 + 0.9 * 0.5 * (1 + Math.SQRT1_2)), 12);
    for (const kind of ['linear', 'cosine', 'wsd'] as const) {
      expect(at(schedule(kind), 110, 110)).toBeCloseTo(0.2, 12);
      expect(at(schedule(kind), 110, 5000)).toBeCloseTo(0.2, 12);
    }
  });

  it('wsd stays at the peak until its last share', () => {
    const s = schedule('wsd');
    expect(at(s, 100, 80)).toBe(2);
    expect(at(s, 100, 90)).toBeCloseTo(1.1, 12);
    expect(at(schedule('wsd', { decay: 0 }), 100, 99)).toBe(2);
  });

  it('holds for a run that is all warm-up', () => {
    expect(at(schedule('cosine'), 10, 9)).toBe(2);
  });
});
