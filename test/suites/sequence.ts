// What a block promises whatever its options are: it decodes to what it computes at once, never looks ahead, and its FLOPs are its matrix products.
import { expect } from 'vitest';
import type { AnyBlock, State, Weights } from '../../src-main/blocks/define';
import { stateBytes } from '../../src-main/engine/cost';
import { relativeError } from '../../src-main/engine/parity';
import { tf, withReference } from '../../src-main/ops';
import { complete } from '../../src-main/spec/options';
import { noise, weightsFor } from './describe';

export interface Case {
  width: number;
  T: number;
  B?: number;
  options?: Record<string, unknown>;
}

/** Weights and input of a case, its rules asked; outside of a tidy the caller disposes of them. */
export function prepare(block: AnyBlock, { width, T, B = 2, options: given = {} }: Case) {
  const options = complete(block.options, given) as Record<string, unknown>;
  expect(block.rules?.(options, width, 'options') ?? []).toEqual([]);
  const tensors = tf.tidy(() => ({ x: noise([B, T, width], 'x'), ...weightsFor(block, options, width) }));
  const { x, ...weights } = tensors as Weights;
  return { options, weights, x: x as tf.Tensor3D };
}

/** Token by token: outputs [B, T, D] and the state after the last. */
export function decoded(block: AnyBlock, x: tf.Tensor3D, weights: Weights, options: Record<string, unknown>) {
  const [B, T, D] = x.shape;
  let state: State = block.layer.begin?.(B, D, options) ?? {};
  const ys: tf.Tensor[] = [];
  for (let position = 0; position < T; position++) {
    const token = tf.slice(x, [0, position, 0], [B, 1, D]) as tf.Tensor3D;
    const done = block.layer.step!(token, weights, state, { options, position });
    ys.push(done.y);
    state = done.state;
  }
  return { y: tf.concat(ys, 1), state };
}

/** Decoding gives the outputs of the whole sequence, and the state has the shapes and bytes that the block says. */
export function decodesAlike(block: AnyBlock, given: Case): void {
  tf.tidy(() => {
    const { options, weights, x } = prepare(block, given);
    const [B, T, D] = x.shape;
    const whole = block.layer.forward(x, weights, { options });
    const { y, state } = decoded(block, x, weights, options);
    // 1e-5: the same sums in another order.
    expect(relativeError(y.dataSync(), whole.dataSync())).toBeLessThan(1e-5);
    const said = block.state!(options, D);
    expect(Object.fromEntries(Object.entries(state).map(([name, { shape }]) => [name, shape]))).toEqual(
      Object.fromEntries(
        Object.entries(said).map(([name, { shape, most = T }]) => [
          name,
          [B, ...shape.map((n) => (n === 'T' ? Math.min(T, most) : n))],
        ]),
      ),
    );
    const bytes = Object.values(state).reduce((sum, { size }) => sum + 4 * size, 0);
    expect(bytes).toBe(B * stateBytes(said, T));
  });
}

/** No output moves when a later token does; the output of the token itself does. */
export function staysCausal(block: AnyBlock, given: Case): void {
  tf.tidy(() => {
    const { options, weights, x } = prepare(block, given);
    const [B, T, D] = x.shape;
    const t = Math.floor(T / 2);
    const bump = tf.buffer([B, T, D]);
    for (let b = 0; b < B; b++) for (let i = 0; i < D; i++) bump.set(i % 2 ? 1 : -1, b, t, i);
    const moved = tf.add(x, bump.toTensor()) as tf.Tensor3D;
    const run = (u: tf.Tensor3D, from: number, count: number) =>
      tf.slice(block.layer.forward(u, weights, { options }), [0, from, 0], [B, count, D]).dataSync();
    // Earlier outputs come from the same sums; 1e-6 leaves room for blocks of another size in a kernel.
    expect(relativeError(run(moved, 0, t), run(x, 0, t))).toBeLessThan(1e-6);
    expect(relativeError(run(moved, t, 1), run(x, t, 1))).toBeGreaterThan(1e-3);
  });
}

/** FLOPs of the matrix products that a function runs as compositions, counted from their shapes as TF.js saw them. */
export async function productFlops(run: () => tf.Tensor): Promise<number> {
  let output: tf.Tensor | undefined;
  const { kernels } = await tf.profile(() => {
    output = withReference(() => tf.tidy(run));
    return output;
  });
  output!.dispose();
  const size = (shape: number[]) => shape.reduce((n, d) => n * d, 1);
  return kernels
    .filter(({ name }) => name === 'BatchMatMul')
    .reduce((sum, { inputShapes: [a, b], outputShapes: [out] }) => {
      const batch = out.length > 2 ? out[0] : 1;
      // a holds batch·M·K numbers, b batch·K·N, out batch·M·N, whichever of them is transposed.
      return sum + 2 * size(out) * Math.sqrt((size(a) * size(b)) / size(out) / batch);
    }, 0);
}

/** FLOPs of one forward pass over one sequence that may look everywhere: within 1 % of what the block says. */
export async function countsItsProducts(block: AnyBlock, given: Case): Promise<void> {
  const { width, T } = given;
  const options = { ...complete(block.options, given.options ?? {}), causal: false } as Record<string, unknown>;
  const counted = await productFlops(() => {
    const prepared = prepare(block, { ...given, B: 1, options });
    return block.layer.forward(prepared.x, prepared.weights, { options });
  });
  expect(Math.abs(counted / block.cost(options, width, T).forwardFlops - 1)).toBeLessThan(0.01);
}
