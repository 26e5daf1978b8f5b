// Activations, alone and as gates of two tensors and of one: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import {
  activationAgain,
  activationGrad,
  activations,
  activation as alone,
  gatedActivation,
  gatedActivationAgain,
  gatedActivationGrad,
  packedGatedActivation,
  packedGatedActivationGrad,
} from './kernel';
import { plain } from './plain';

// Elementwise: a few roundings and the 2 units in the last place of Exp and Tanh. The slope 1 - tanh² cancels for large inputs, hence the floor of 1.
const tolerance = 1e-6;
const two = { forward: gatedActivation, gradient: gatedActivationGrad, plain };
const plainly = { forward: alone, gradient: activationGrad, plain };
const one = { forward: packedGatedActivation, gradient: packedGatedActivationGrad, plain };

describe.each(natives())('GatedActivation on $isa', (native) => {
  it.each(activations)('%s agrees with the plain loops at odd lengths', (activation) => {
    for (const width of [1, 2, 63, 64, 65, 130]) {
      const gate = draw(3 * width, 5).map((u) => Math.fround(6 * u));
      const shapes = { gate: [3, width], up: [3, width] };
      expectAgreement(native, { ...two, shapes, inputs: { gate }, attrs: { activation }, floor: 1 }, tolerance);
      expectAgreement(native, { ...plainly, shapes: { x: [3, width] }, inputs: { x: gate }, attrs: { activation }, floor: 1 }, tolerance); // biome-ignore format: as its neighbours
      expectAgreement(native, { ...one, shapes: { x: [5, 2 * width] }, attrs: { activation }, floor: 1 }, tolerance);
    }
  });

  it.each(activations)(
    '%s gives with its gradient the bits of the forward pass again, over what it read too',
    (activation) => {
      const [gate, up, dy] = [5, 6, 7].map((seed) => draw(20001, seed));
      const shapes = { gate: [20001], up: [20001], x: [20001], dy: [20001] };
      const attrs = { activation };
      const both = { ...native.run(gatedActivationGrad, { gate, up, dy }, shapes, attrs), ...native.run(gatedActivation, { gate, up }, shapes, attrs) }; // biome-ignore format: one line
      expect(native.run(gatedActivationAgain, { gate, up, dy }, shapes, attrs)).toEqual(both);
      const plainly = { ...native.run(activationGrad, { x: gate, dy }, shapes, attrs), ...native.run(alone, { x: gate }, shapes, attrs) }; // biome-ignore format: one line
      expect(native.run(activationAgain, { x: gate, dy }, shapes, attrs)).toEqual(plainly);
      // Laid over the inputs as `over` in kernel.ts allows it.
      const [a, b, c] = [gate, up, dy].map((one) => Float32Array.from(one));
      native.raw('GatedActivationAgain', [a, b, c], [a, b, c], gatedActivationAgain.ints(shapes, attrs), []);
      expect([a, b, c].map((one) => Float64Array.from(one))).toEqual([both.dgate, both.dup, both.y]);
      const [d, e] = [gate, dy].map((one) => Float32Array.from(one));
      native.raw('ActivationAgain', [d, e], [d, e], activationAgain.ints(shapes, attrs), []);
      expect([d, e].map((one) => Float64Array.from(one))).toEqual([plainly.dx, plainly.y]);
    },
  );

  it('covers more than one part of the parallel loop', () => {
    expectAgreement(native, { ...plainly, shapes: { x: [20001] }, attrs: { activation: 'gelu' } }, tolerance);
    const shapes = { gate: [20001], up: [20001] };
    expectAgreement(native, { ...two, shapes, attrs: { activation: 'silu' } }, tolerance);
  });

  it('lets NaN and large numbers through', () => {
    const gate = Float64Array.of(Number.NaN, 200, -200, 0);
    const shapes = { gate: [4], up: [4] };
    for (const activation of activations) {
      const { y } = native.run(gatedActivation, { gate, up: new Float64Array(4).fill(1) }, shapes, { activation });
      expect(y[0], activation).toBeNaN();
      expect(y.slice(1).every(Number.isFinite), activation).toBe(true);
      expect(native.run(alone, { x: gate }, { x: [4] }, { activation }).y, activation).toEqual(y);
    }
  });
});

describe('plain GatedActivation', () => {
  it.each(activations)('%s has the slopes that it claims', (activation) => {
    expectSlopes({ ...two, shapes: { gate: [2, 5], up: [2, 5] }, attrs: { activation } });
    expectSlopes({ ...one, shapes: { x: [3, 10] }, attrs: { activation } });
    expectSlopes({ ...plainly, shapes: { x: [3, 10] }, attrs: { activation } });
  });

  it('refuses an unknown activation by name', () => {
    expect(gatedActivation.refuses?.({ gate: [2], up: [2] }, { activation: 'swish' })).toMatch(/swish is not one of/);
  });
});
