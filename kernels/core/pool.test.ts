// The thread pool: more threads than cores work, and a pool with nothing to do takes no processor time.
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { draw, natives } from './testing';

describe.each(natives())('threads of $isa', (native) => {
  const n = 300;
  const [a, b] = [1, 2].map((seed) => Float32Array.from(draw(n * n, seed)));
  const multiply = (times: number): Float32Array => {
    const c = new Float32Array(n * n).fill(Number.NaN);
    for (let i = 0; i < times; i++) native.raw('MatMul', [a, b], [c], [1, n, n, n, 0, 0, n * n, n * n], []);
    return c;
  };

  it('give the same bits, be they one or sixteen, changed between calls', () => {
    native.threads(1);
    const alone = multiply(1);
    for (const threads of [16, 3, 64, 2]) {
      native.threads(threads);
      expect(multiply(3)).toEqual(alone);
    }
  });

  it('sleep when there is nothing to do', async () => {
    native.threads(16);
    multiply(5);
    await sleep(20); // they look for work for 50 us each
    const before = process.cpuUsage();
    await sleep(400);
    const { user, system } = process.cpuUsage(before);
    native.threads(2);
    // A single thread that spun would take some 400 ms here, fifteen as much as the machine has; timers and the collector take a few.
    expect((user + system) / 1000).toBeLessThan(100);
  });
});
