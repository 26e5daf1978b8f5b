// LSTM and GRU: the native time loops against the plain ones, forward, gradient and one token.
import { describe, expect, it } from 'vitest';
import { type Kernel, type Shapes, sizeOf } from '../core/kernel';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { gru, gruGrad, gruStep, lstm, lstmGrad, lstmStep } from './kernel';
import { plain } from './plain';

// Float32 through up to 130 tokens, whose gates each read the rounded state of the one before.
const tolerance = 1e-5;

interface Net {
  name: string;
  gates: number;
  forward: Kernel;
  gradient: Kernel;
  step: Kernel;
  bias: boolean;
}
const nets: Net[] = [
  { name: 'Lstm', gates: 4, forward: lstm, gradient: lstmGrad, step: lstmStep, bias: false },
  { name: 'Gru', gates: 3, forward: gru, gradient: gruGrad, step: gruStep, bias: false },
  { name: 'Gru with biases', gates: 3, forward: gru, gradient: gruGrad, step: gruStep, bias: true },
];

/** Recurrent weights that neither die out nor explode over the tokens; gates of the given spread. */
function setting({ gates, forward, gradient, bias }: Net, [B, T, h]: number[], spread = 2) {
  const n = gates * h;
  const shapes: Shapes = { gates: [B, T, n], w: [h, n], ...(bias && { bias: [n] }) };
  const inputs = {
    gates: draw(B * T * n, 3).map((u) => Math.fround(spread * u)),
    w: draw(h * n, 4).map((u) => Math.fround(u / Math.sqrt(h))),
  };
  return { forward, gradient, plain, shapes, inputs };
}
const cases = natives().flatMap((native) =>
  nets.map((net) => ({ native, net, title: `${net.name} on ${native.isa}` })),
);

describe.each(cases)('$title', ({ native, net }) => {
  it.each([1, 2, 63, 64, 65, 130])('agrees with the plain loop for %i tokens', (T) => {
    expectAgreement(native, setting(net, [2, T, 5]), tolerance);
  });

  it.each([
    [1, 1],
    [3, 1],
    [5, 16],
    [4, 17],
    [9, 7],
    [2, 64],
    [1, 90],
  ])('agrees for %i rows and a state of %i channels', (B, h) => {
    expectAgreement(native, setting(net, [B, 9, h]), tolerance);
  });

  it('stays right with gates wide open or shut, and gives zeros for an empty batch', () => {
    expectAgreement(native, setting(net, [2, 33, 6], 200), tolerance);
    expectAgreement(native, setting(net, [0, 3, 2]), tolerance);
  });

  it.each([
    [1, 1],
    [1, 70],
    [3, 17],
    [13, 64],
  ])('takes one token of %i rows and a state of %i channels', (B, h) => {
    const { shapes, inputs } = setting(net, [B, 1, h]);
    const state = [B, h];
    const own: Shapes = { ...shapes, gates: [B, net.gates * h], h: state, ...(net.gates === 4 && { c: state }) };
    const drawn = Object.fromEntries(Object.entries(own).map(([name, shape], i) => [name, draw(sizeOf(shape), i)]));
    expectAgreement(native, { forward: net.step, plain, shapes: own, inputs: { ...drawn, ...inputs } }, tolerance);
  });

  it('gives the same bits on any number of threads', () => {
    // 11 rows are 3 tasks on one thread and 11 on eight; 210 and 280 columns of slopes of the weights are one or two, and four or five.
    const size = [11, 20, 70];
    const { shapes, inputs } = setting(net, size);
    const given = { ...inputs, ...(net.bias && { bias: draw(net.gates * 70, 2) }) };
    const results = [1, 2, 3, 8].map((threads) => {
      native.threads(threads);
      const { y, kept } = native.run(net.forward, given, shapes, {});
      const feed = { w: inputs.w, y, kept, dy: draw(y.length, 5) };
      return { y, kept, ...native.run(net.gradient, feed, { ...shapes, y: size }, {}) };
    });
    native.threads(1);
    for (const result of results.slice(1)) expect(result).toEqual(results[0]);
  });
});

describe.each(nets)('plain $name', (net) => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting(net, [2, 5, 3]));
    expectSlopes(setting(net, [1, 1, 1]));
  });

  it('refuses shapes that do not fit, in a sentence', () => {
    const { shapes } = setting(net, [2, 3, 5]);
    const { forward, gates } = net;
    expect(forward.refuses?.({ ...shapes, gates: [2, 3, 5 * gates + 1] }, {})).toMatch(`${gates} gates side by side`);
    expect(forward.refuses?.({ ...shapes, w: [4, 5 * gates] }, {})).toMatch(/^w is \[4,\d+\], and \[5,\d+\] fits/);
    expect(net.step.refuses?.({ ...shapes, gates: [2, 5 * gates], h: [3, 5] }, {})).toMatch(
      /^h is \[3,5\], and \[2,5\]/,
    );
  });
});
