// RWKV-7's rule with all that stands around it: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import type { Shapes } from '../core/kernel';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { rwkv7Mix, rwkv7MixGrad, rwkv7MixStep } from './mix';
import { plainMix } from './plain-mix';

// As the rule alone, 1e-5, with two norms behind it: each divides by a length or deviation that may be a third of the largest.
const tolerance = 3e-5;
const maps = ['r', 'decay', 'key', 'v', 'rate', 'gate'];
const channels = ['w0', 'a0', 'k_k', 'k_a', 'r_k', 'ln_w', 'ln_b'];

function setting([B, T, H, N]: readonly number[], later = true) {
  const map = (names: readonly string[]): Shapes => Object.fromEntries(names.map((name) => [name, [B, T, H * N]]));
  const channel = (names: readonly string[]): Shapes => Object.fromEntries(names.map((name) => [name, [H * N]]));
  return {
    forward: rwkv7Mix,
    gradient: rwkv7MixGrad,
    plain: plainMix,
    shapes: {
      ...map(maps),
      ...(later && map(['first', 'share'])),
      ...channel(channels),
      ...(later && channel(['v0'])),
    },
    attrs: { heads: H, epsilon: 1e-2 },
  };
}

/** One token after any state. */
function stepping([B, H, N]: readonly number[], later = true) {
  const { shapes, attrs } = setting([B, 1, H, N], later);
  return { forward: rwkv7MixStep, plain: plainMix, shapes: { ...shapes, s: [B, H, N, N] }, attrs };
}

describe.each(natives())('Rwkv7MixStep on $isa', (native) => {
  it.each([
    [1, 1, 2],
    [2, 3, 5],
    [1, 2, 17],
    [3, 1, 33],
    [2, 4, 64],
    [1, 1, 70],
  ])('agrees with the plain loops for %i sequences and %i heads of %i channels', (...size) => {
    for (const later of [false, true]) expectAgreement(native, stepping(size, later), tolerance);
  });

  it('agrees for heads of one channel, whose norm gives 0', () => {
    expectAgreement(native, { ...stepping([2, 3, 1]), floor: 1 }, tolerance);
  });

  it('steps to what all tokens at once give, and does nothing for no sequences', () => {
    expectAgreement(native, stepping([0, 2, 3]), tolerance);
    const { shapes, attrs } = setting([1, 3, 2, 5]);
    const all = Object.fromEntries(
      Object.entries(shapes).map(([name, shape], i) => [
        name,
        draw(
          shape.reduce((a, b) => a * b, 1),
          i,
        ),
      ]),
    );
    const whole = native.run(rwkv7Mix, all, shapes, attrs).y;
    const own = stepping([1, 2, 5]);
    let s = new Float64Array(50);
    for (let t = 0; t < 3; t++) {
      const token = Object.fromEntries(
        Object.entries(all).map(([name, values]) => [
          name,
          values.length === 30 ? values.subarray(t * 10, t * 10 + 10) : values,
        ]),
      );
      const done = native.run(rwkv7MixStep, { ...token, s }, own.shapes, attrs);
      s = done.s as Float64Array<ArrayBuffer>;
      for (let j = 0; j < 10; j++) expect(Math.abs(done.y[j] - whole[t * 10 + j])).toBeLessThan(1e-5);
    }
  });
});

describe.each(natives())('Rwkv7Mix on $isa', (native) => {
  it.each([
    [1, 1, 1, 2],
    [2, 15, 2, 5],
    [2, 16, 1, 3],
    [1, 17, 3, 8],
    [2, 33, 2, 17],
    [1, 20, 1, 33],
    [1, 35, 2, 64],
    [1, 18, 1, 70],
  ])('agrees with the plain loops for %i sequences of %i tokens and %i heads of %i channels', (...size) => {
    for (const later of [false, true]) expectAgreement(native, setting(size, later), tolerance);
  });

  it('agrees for heads of one channel, whose norm gives 0', () => {
    expectAgreement(native, { ...setting([2, 20, 3, 1]), floor: 1 }, tolerance);
  });

  it('takes keys of no length', () => {
    const given = setting([1, 5, 2, 4]);
    expectAgreement(native, { ...given, inputs: { key: new Float64Array(40) } }, tolerance);
  });

  it('does nothing for no sequences', () => {
    expectAgreement(native, setting([0, 4, 2, 3]), tolerance);
  });

  it('gives the same bits on one thread and on two', () => {
    const { shapes, attrs } = setting([2, 40, 3, 20]);
    const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
    const given = Object.fromEntries(Object.entries(shapes).map(([name, shape], i) => [name, draw(size(shape), i)]));
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const done = native.run(rwkv7Mix, given, shapes, attrs);
      return { ...done, ...native.run(rwkv7MixGrad, { ...given, ...done, dy: done.y }, shapes, attrs) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain Rwkv7Mix', () => {
  it('has the slopes that it claims', () => {
    for (const later of [false, true]) expectSlopes(setting([2, 5, 2, 3], later));
  });

  it('refuses what does not fit, in a sentence', () => {
    const { shapes, attrs } = setting([1, 4, 2, 3]);
    expect(rwkv7Mix.refuses?.(shapes, { ...attrs, heads: 4 })).toMatch(/6 channels do not divide into 4 heads/);
    expect(rwkv7Mix.refuses?.({ ...shapes, gate: [1, 4, 5] }, attrs)).toMatch(
      /gate \[1,4,5\] must have the shape of r/,
    );
    expect(rwkv7MixStep.refuses?.({ ...shapes, s: [1, 2, 3, 3] }, attrs)).toBe('a step takes one token, not 4');
    expect(rwkv7MixStep.refuses?.({ ...stepping([1, 2, 3]).shapes, s: [1, 2, 3] }, attrs)).toMatch(
      /s is \[1,2,3\], and \[1,2,3,3\] fits r/,
    );
    expect(rwkv7Mix.refuses?.({ ...shapes, v0: [5] }, attrs)).toMatch(/v0 has 5 entries, r has 6 channels/);
    const { v0, ...without } = shapes as Record<string, readonly number[]>;
    expect(v0 && rwkv7Mix.refuses?.(without, attrs)).toMatch(/go together/);
  });
});
