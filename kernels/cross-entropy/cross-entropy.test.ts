// Cross-entropy: native against plain loops, forward and gradient; masks and bad targets.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives, uniform } from '../core/testing';
import { crossEntropy, crossEntropyGrad } from './kernel';
import { plain } from './plain';

// The loss is summed in float64; a row's exponentials are a float32 sum of at most a few hundred terms.
const tolerance = 2e-6;
const kernel = { forward: crossEntropy, gradient: crossEntropyGrad, plain };

function rows(count: number, classes: number) {
  const next = uniform(count * 1000 + classes);
  return {
    targets: Float64Array.from({ length: count }, () => Math.floor(next() * classes)),
    mask: Float64Array.from({ length: count }, (_, r) => (r % 3 === 1 ? 0 : 1)),
    logits: draw(count * classes, 3).map((u) => Math.fround(8 * u)),
  };
}

describe.each(natives())('CrossEntropy on $isa', (native) => {
  it.each([
    [1, 1],
    [2, 63],
    [63, 2],
    [64, 65],
    [65, 64],
    [130, 257],
  ])('agrees with the plain loops for %i rows of %i classes', (count, classes) => {
    const { targets, mask, logits } = rows(count, classes);
    for (const labelSmoothing of [0, 0.1]) {
      const shapes = { logits: [count, classes], targets: [count] };
      const attrs = { labelSmoothing };
      const floor = classes === 1 ? 10 : undefined; // one class: a logit of up to 8 minus its own log-sum-exp
      expectAgreement(native, { ...kernel, shapes, attrs, inputs: { targets, logits }, floor }, tolerance);
      const masked = { ...shapes, mask: [count] };
      expectAgreement(
        native,
        { ...kernel, shapes: masked, attrs, inputs: { targets, logits, mask }, floor },
        tolerance,
      );
    }
  });

  it('takes nothing from masked rows, even if they hold NaN and a target out of range', () => {
    const { targets, logits } = rows(4, 5);
    const mask = Float64Array.of(1, 0, 1, 0);
    const shapes = { logits: [4, 5], targets: [4], mask: [4] };
    const clean = native.run(crossEntropy, { logits, targets, mask }, shapes, {});
    const dirty = { logits: logits.slice().fill(Number.NaN, 5, 10), targets: targets.slice().fill(-1, 1, 2), mask };
    expect(native.run(crossEntropy, dirty, shapes, {})).toEqual(clean);
    const feed = { ...dirty, logsumexp: clean.logsumexp, dloss: Float64Array.of(1) };
    const { dlogits } = native.run(crossEntropyGrad, feed, { ...shapes, logsumexp: [4], dloss: [] }, {});
    expect(dlogits.slice(5, 10)).toEqual(new Float64Array(5));
    expect(dlogits.every(Number.isFinite)).toBe(true);
  });

  it('gives 0 for no rows', () => {
    expectAgreement(native, { ...kernel, shapes: { logits: [0, 5], targets: [0] } }, tolerance);
  });

  it('gives 0 and a zero gradient when no row is graded', () => {
    const { targets, logits } = rows(3, 4);
    const shapes = { logits: [3, 4], targets: [3], mask: [3] };
    const mask = new Float64Array(3);
    const { loss, logsumexp } = native.run(crossEntropy, { logits, targets, mask }, shapes, {});
    expect(loss[0]).toBe(0);
    const feed = { logits, targets, mask, logsumexp, dloss: Float64Array.of(1) };
    const { dlogits } = native.run(crossEntropyGrad, feed, { ...shapes, logsumexp: [3], dloss: [] }, {});
    expect(dlogits).toEqual(new Float64Array(12));
  });

  it('refuses a graded target out of range', () => {
    const shapes = { logits: [1, 4], targets: [1] };
    const call = () =>
      native.run(crossEntropy, { logits: new Float64Array(4), targets: Float64Array.of(4) }, shapes, {});
    expect(call).toThrow(/target is not in 0\.\.classes-1/);
  });

  it('stays finite for logits far apart', () => {
    const logits = Float64Array.of(1e4, -1e4, 0);
    const shapes = { logits: [1, 3], targets: [1] };
    const { loss } = native.run(crossEntropy, { logits, targets: Float64Array.of(1) }, shapes, {});
    expect(loss[0]).toBe(2e4);
  });
});

describe('plain CrossEntropy', () => {
  it('has the slopes that it claims', () => {
    const { targets, mask } = rows(5, 4);
    const shapes = { logits: [5, 4], targets: [5], mask: [5] };
    expectSlopes({ ...kernel, shapes, attrs: { labelSmoothing: 0.2 }, inputs: { targets, mask } });
  });
});
