// What LSTM and GRU are tested by alike: a walk in float64 around the cell of each, its slopes, decoding, cost, and rules.
import { expect } from 'vitest';
import type { AnyBlock } from '../../src-main/blocks/define';
import { relativeError } from '../../src-main/engine/parity';
import { tf, withReference } from '../../src-main/ops';
import { complete } from '../../src-main/spec/options';
import type { Tools } from './describe';
import { countsItsProducts, decoded, decodesAlike, prepare, staysCausal } from './sequence';

/** What a cell carries from token to token, by the names of the decode state; `h` is its output. */
export type Carried = Record<string, number[]>;
/** One token from the input's and the state's share of the gates, biases included, gates side by side. */
export type Cell = (input: number[], state: number[], before: Carried) => Carried;

type Numbers = Record<string, ArrayLike<number>>;
export const sigmoid = (u: number) => 1 / (1 + Math.exp(-u));

/** One sequence x [T, D], token by token in float64; outputs [T, D or h], and what is carried after the last token. */
function walked(cell: Cell, gates: number, start: Carried, { x, w_x, w_h, b_x, b_h, w_o }: Numbers, T: number) {
  const H = start.h.length;
  const D = w_x.length / (gates * H);
  /** from [size] times w [size, gates·H], plus a bias. */
  const share = (from: (i: number) => number, size: number, w: ArrayLike<number>, b: ArrayLike<number> | undefined) =>
    Array.from({ length: gates * H }, (_, column) => {
      let sum = b?.[column] ?? 0;
      for (let i = 0; i < size; i++) sum += from(i) * w[i * gates * H + column];
      return sum;
    });
  let carried = start;
  const y: number[] = [];
  for (let t = 0; t < T; t++) {
    const { h: before } = carried;
    carried = cell(share((i) => x[t * D + i], D, w_x, b_x), share((i) => before[i], H, w_h, b_h), carried); // biome-ignore format: one call
    const { h } = carried;
    if (!w_o) y.push(...h);
    else for (let j = 0; j < D; j++) y.push(h.reduce((sum, value, i) => sum + value * w_o[i * D + j], 0));
  }
  return { y, carried };
}

const cases = [
  { T: 1, width: 3, options: { hidden: 2 } },
  { T: 9, width: 4, options: { hidden: 5, bias: false } },
  { T: 7, width: 1, options: { project: false } },
];

/** The tests that both have. `carries`: names of the decode state. */
export function testRecurrent(
  block: AnyBlock,
  { it, agree }: Tools,
  { cell, gates, carries }: { cell: Cell; gates: number; carries: readonly string[] },
): void {
  agree('fused', 'reference', {
    T: [1, 18],
    B: 5,
    width: 6,
    options: [{ hidden: 19 }, { bias: false, project: false }],
  });

  const paths = (['fused', 'reference'] as const).flatMap((path) => cases.map((one) => ({ path, ...one })));
  it.each(paths)(
    'is its equation, forward, backward and in decoding, $path: $T tokens, $width wide, $options',
    ({ path, ...given }) => {
      const on = <T>(run: () => T): T => (path === 'fused' ? run() : withReference(run));
      tf.tidy(() => {
        const { T } = given;
        const { options, weights, x } = prepare(block, { ...given, B: 1 });
        const H = weights.w_h.shape[0];
        const start = Object.fromEntries(carries.map((name) => [name, new Array<number>(H).fill(0)]));
        const tensors: Record<string, tf.Tensor> = { x, ...weights };
        const names = Object.keys(tensors);
        const numbers: Numbers = Object.fromEntries(names.map((name) => [name, Array.from(tensors[name].dataSync())]));
        const due = walked(cell, gates, start, numbers, T);
        const o = complete(block.options, options);
        const y = on(() => block.layer.forward(x, weights, { options: o }));
        // 1e-5: float32 sums of a dozen terms, over a few tokens.
        expect(relativeError(y.dataSync(), due.y)).toBeLessThan(1e-5);
        const { y: stepped, state } = on(() => decoded(block, x, weights, options));
        expect(relativeError(stepped.dataSync(), due.y)).toBeLessThan(1e-5);
        expect(Object.keys(state).sort()).toEqual([...carries].sort());
        for (const name of carries) expect(relativeError(state[name].dataSync(), due.carried[name])).toBeLessThan(1e-5);

        // The slope of Σ sin(n) y[n] against differences of the float64 loop: off by the square of the step, 1e-10, and by 1e-16 / 1e-5.
        const share = due.y.map((_, n) => Math.sin(n + 1));
        const loss = (from: Numbers) =>
          walked(cell, gates, start, from, T).y.reduce((sum, value, n) => sum + share[n] * value, 0);
        const gradients = on(() =>
          tf.grads((...all: tf.Tensor[]) => {
            const own = Object.fromEntries(names.map((name, i) => [name, all[i]]));
            const out = block.layer.forward(own.x as tf.Tensor3D, own, { options: o });
            return tf.sum(tf.mul(out, tf.tensor(share, out.shape)));
          })(names.map((name) => tensors[name])),
        );
        for (const [i, name] of names.entries()) {
          const slopes = Array.from(numbers[name], (_, n) => {
            const moved = (by: number) =>
              loss({ ...numbers, [name]: Array.from(numbers[name], (u, m) => (m === n ? u + by : u)) });
            return (moved(1e-5) - moved(-1e-5)) / 2e-5;
          });
          expect(relativeError(gradients[i].dataSync(), slopes), name).toBeLessThan(1e-4);
        }
      });
    },
  );

  it('decodes alike, never looks ahead, and computes the products that it says', async () => {
    for (const one of cases) decodesAlike(block, { ...one, B: 3 });
    staysCausal(block, { T: 20, width: 6 });
    await countsItsProducts(block, { T: 5, width: 12, options: { hidden: 20 } });
    await countsItsProducts(block, { T: 5, width: 12, options: { project: false } });
  });

  it('stays finite when every gate is wide open or shut', () => {
    tf.tidy(() => {
      const { options, weights, x } = prepare(block, { T: 6, width: 4 });
      const o = complete(block.options, options);
      const far = tf.mul(x, 1e4) as tf.Tensor3D;
      const { value, grad } = tf.valueAndGrad((u) =>
        tf.sum(block.layer.forward(u as tf.Tensor3D, weights, { options: o })),
      )(far);
      expect(Number.isFinite(value.dataSync()[0])).toBe(true);
      expect(grad.dataSync().every(Number.isFinite)).toBe(true);
    });
  });

  it('names a state that does not fit', () => {
    const problems = (given: object) => block.rules!(complete(block.options, given as never), 8, 'options');
    expect(problems({ hidden: 4, project: false })).toEqual([
      {
        path: 'options.hidden',
        message: 'a state of 4 channels does not fit the width 8 without a projection',
        hint: 'try 0, or set project to true',
        fix: 0,
      },
    ]);
    expect(problems({ hidden: 8, project: false })).toEqual([]);
    expect(problems({ hidden: 4 })).toEqual([]);
  });
}
