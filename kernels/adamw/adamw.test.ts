// Optimiser steps and the sum of squares: native against plain loops.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, natives } from '../core/testing';
import { adamw, adamwRates, sgd, squareSum } from './kernel';
import { plain } from './plain';

// A handful of float32 operations an element.
const tolerance = 1e-6;
const lengths = [1, 2, 63, 64, 65, 130, 40001];

describe.each(natives())('Optimiser steps on $isa', (native) => {
  it.each(lengths)('AdamW agrees with the plain loops for %i numbers', (n) => {
    const shapes = { weight: [n], gradient: [n], first: [n], second: [n], rates: [3] };
    const second = draw(n, 7).map((u) => Math.fround(u * u));
    const rates = Float64Array.from(adamwRates(1e-2, 0.9, 0.95, 0.1, 3));
    const attrs = { beta1: 0.9, beta2: 0.95, eps: 1e-8 };
    const check = { forward: adamw, plain, shapes, attrs, inputs: { second, rates } };
    expectAgreement(native, check, tolerance);
    const scaled = { shapes: { ...shapes, scale: [] }, inputs: { second, rates, scale: Float64Array.of(0.25) } };
    expectAgreement(native, { ...check, ...scaled }, tolerance);
  });

  it('AdamW moves by lr on the first update and not at all without a gradient', () => {
    const zero = new Float64Array(3);
    const rates = Float64Array.from(adamwRates(0.5, 0.9, 0.999, 0, 1));
    const given = { weight: zero, gradient: Float64Array.of(1e-3, -5, 0), first: zero, second: zero, rates };
    const shapes = { weight: [3], gradient: [3], first: [3], second: [3], rates: [3] };
    const { weight } = native.run(adamw, given, shapes, { beta1: 0.9, beta2: 0.999, eps: 1e-12 });
    expect(weight[0]).toBeCloseTo(-0.5, 5);
    expect(weight[1]).toBeCloseTo(0.5, 5);
    expect(weight[2]).toBe(0);
  });

  it.each(lengths)('SGD agrees with the plain loops for %i numbers', (n) => {
    const shapes = { weight: [n], gradient: [n], rate: [1] };
    const inputs = { rate: Float64Array.of(0.1) };
    const check = { forward: sgd, plain, shapes, inputs, attrs: { momentum: 0.9, weightDecay: 0.01 } };
    expectAgreement(native, check, tolerance);
    const heavy = { ...check, shapes: { ...shapes, buffer: [n], scale: [] } };
    expectAgreement(native, heavy, tolerance);
    expectAgreement(native, { ...heavy, attrs: { ...heavy.attrs, nesterov: true } }, tolerance);
  });

  it.each(lengths)('updates in place give the same bits for %i numbers', (n) => {
    const array = (seed: number) => Float32Array.from(draw(n, seed));
    const [weight, gradient, first] = [array(1), array(2), array(3)];
    const second = array(4).map((u) => u * u);
    const twice = (kernel: string, kept: Float32Array[], rates: number[], ints: number[], floats: number[]) => {
      const run = (from: Float32Array[], to: Float32Array[]) => {
        const [w, ...rest] = from;
        native.raw(kernel, [w, gradient, ...rest, Float32Array.from(rates), undefined], to, ints, floats);
        return to;
      };
      const apart = run(
        kept,
        kept.map(() => new Float32Array(n).fill(Number.NaN)),
      );
      const same = kept.map((values) => values.slice());
      expect(run(same, same)).toEqual(apart);
    };
    twice('AdamW', [weight, first, second], adamwRates(1e-2, 0.9, 0.95, 0.1, 3), [n], [0.9, 0.95, 1e-8]);
    twice('Sgd', [weight, first], [0.1], [n, 1], [0.9, 0.01]);
  });

  it.each(['AdamW', 'Sgd'])(
    '%s of many weights at once gives the bits of one after another, for any number of threads',
    (kernel) => {
      const rates = kernel === 'AdamW' ? adamwRates(1e-2, 0.9, 0.95, 0.1, 3) : [0.1];
      const calls = lengths.map((n, i) => {
        const array = (seed: number) => Float32Array.from(draw(n, 10 * i + seed));
        const kept = kernel === 'AdamW' ? [array(3), array(4).map((u) => u * u)] : [array(3)];
        return {
          inputs: [array(1), array(2), ...kept, Float32Array.from(rates), i % 2 ? Float32Array.of(0.5) : undefined],
          outputs: [array(1), ...kept].map(({ length }) => new Float32Array(length).fill(Number.NaN)),
          ints: kernel === 'AdamW' ? [n] : [n, i % 2],
          floats: kernel === 'AdamW' ? [0.9, 0.95, 1e-8] : [0.9, 0.01 * i],
        };
      });
      const wanted = calls.map(({ inputs, outputs, ints, floats }) => {
        const alone = outputs.map((one) => one.slice());
        native.raw(kernel, inputs, alone, ints, floats);
        return alone;
      });
      const all = <T>(of: (call: (typeof calls)[number]) => T[]) => calls.flatMap(of);
      for (const threads of [1, 2, 3]) {
        native.threads(threads);
        for (const output of all((call) => call.outputs)) output.fill(Number.NaN);
        native.raw(
          `${kernel}All`,
          all((call) => call.inputs),
          all((call) => call.outputs),
          [calls.length, ...all((call) => call.ints)],
          all((call) => call.floats),
        );
        expect(calls.map((call) => call.outputs)).toEqual(wanted);
      }
      native.threads(2);
    },
  );

  it('SquareSumAll adds up many arrays, the same bits for any number of threads', () => {
    const arrays = lengths.map((n) => Float32Array.from(draw(n, n)));
    const wanted = arrays.reduce((sum, array) => array.reduce((part, x) => part + x * x, sum), 0);
    const sums = [1, 2, 3].map((threads) => {
      native.threads(threads);
      const sum = Float32Array.of(Number.NaN);
      native.raw('SquareSumAll', arrays, [sum], [arrays.length, ...lengths], []);
      return sum[0];
    });
    native.threads(2);
    expect(Math.abs(sums[0] / wanted - 1)).toBeLessThan(1e-7); // added in float64: only the result is rounded
    expect(new Set(sums).size).toBe(1);
  });

  it.each(lengths)('SquareSum agrees with the plain loops for %i numbers', (n) => {
    // Added in float64: only the result is rounded.
    expectAgreement(native, { forward: squareSum, plain, shapes: { x: [n] } }, 1e-7);
  });
});

describe('AdamW', () => {
  it('refuses moments and rates of another shape by name', () => {
    const shapes = { weight: [2, 3], gradient: [2, 3], first: [6], second: [2, 3], rates: [3] };
    expect(adamw.refuses?.(shapes, {})).toMatch(/first \[6\] differs/);
    const rates = { ...shapes, first: [2, 3], rates: [2, 3] };
    expect(adamw.refuses?.(rates, {})).toBe('rates must be [3], not [2,3]');
  });
});
