// The memory plan: nothing that lives at one time overlaps, and what does not shares.
import { describe, expect, it } from 'vitest';
import { stream } from '../../spec/random';
import { planMemory, type Span } from './plan';

describe('planMemory', () => {
  it('lays a chain of equal buffers into the room of two', () => {
    const chain = Array.from({ length: 9 }, (_, i): Span => ({ bytes: 640, first: i, last: i + 1 }));
    expect(planMemory(chain).bytes).toBe(1280);
  });

  it('takes the tightest gap, and nothing for nothing', () => {
    const spans: Span[] = [
      { bytes: 1024, first: 0, last: 9 },
      { bytes: 512, first: 0, last: 3 },
      { bytes: 256, first: 0, last: 9 },
      { bytes: 128, first: 4, last: 9 },
    ];
    expect(planMemory(spans)).toEqual({ offsets: [0, 1024, 1536, 1024], bytes: 1792 });
    expect(planMemory([])).toEqual({ offsets: [], bytes: 0 });
  });

  it('never lets two that live at one time overlap, and needs no less than they do', () => {
    const draw = stream('plan', 1, 'spans');
    for (let round = 0; round < 30; round++) {
      const spans = Array.from({ length: 60 }, (): Span => {
        const first = Math.floor(draw.uniform() * 50);
        const length = Math.floor(draw.uniform() ** 3 * 30);
        return { bytes: Math.floor(draw.uniform() ** 2 * 5000), first, last: first + length };
      });
      const { offsets, bytes } = planMemory(spans);
      for (const [i, a] of spans.entries()) {
        expect(offsets[i] % 64).toBe(0);
        expect(offsets[i] + a.bytes).toBeLessThanOrEqual(bytes);
        for (const [j, b] of spans.entries()) {
          if (i === j || a.last < b.first || b.last < a.first) continue;
          const apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
          expect(apart || a.bytes === 0 || b.bytes === 0, `${i} and ${j} of round ${round}`).toBe(true);
        }
      }
      const most = Math.max(
        ...Array.from({ length: 80 }, (_, t) =>
          spans.reduce((sum, { bytes, first, last }) => sum + (first <= t && t <= last ? bytes : 0), 0),
        ),
      );
      expect(bytes).toBeGreaterThanOrEqual(most);
      expect(bytes).toBeLessThan(1.5 * most + 64 * spans.length); // else it would not be worth the trouble
    }
  });
});
