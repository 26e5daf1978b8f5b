// Linear maps over the last axis.
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import { COUNTS, kernels } from '../../../kernels/linear/kernel';
import { bind, type Composition, hasKernel, tf } from '../../ops';

/** x [.., I], w [I, O], b [O] to x·w + b [.., O]. */
export function linear(x: Tensor, w: Tensor, b?: Tensor): Tensor {
  const [I, O] = w.shape;
  const rows = tf.reshape(x, [-1, I]) as Tensor2D; // one product for all tokens of all sequences
  const y = tf.reshape(tf.matMul(rows, w as Tensor2D), [...x.shape.slice(0, -1), O]);
  return b ? tf.add(y, b) : y;
}

const numbered = (prefix: string, tensors: readonly Tensor[]) =>
  Object.fromEntries(tensors.map((tensor, i) => [`${prefix}${i}`, tensor]));
const bound = (name: string, replaces: Composition): Composition =>
  bind(kernels.find((kernel) => kernel.name === name)!, { replaces });

const several: ReadonlyMap<number, Composition> = new Map(
  COUNTS.map((count) => [
    count,
    bound(`Linear${count}`, ({ x, ...weights }) =>
      numbered(
        'y',
        Array.from({ length: count }, (_, i) => linear(x!, weights[`w${i}`]!)),
      ),
    ),
  ]),
);
const split: ReadonlyMap<number, Composition> = new Map(
  COUNTS.map((count) => [
    count,
    bound(`SplitLinear${count}`, ({ x, w }, { columns }) =>
      numbered(
        'y',
        tf.split(w!, columns as number[], 1).map((part) => linear(x!, part)),
      ),
    ),
  ]),
);

// Devices without these kernels lose nothing worth telling: they make the same products one by one.

/** Outputs y0, y1 .. in order, each with its bias. */
const listed = (outputs: Record<string, Tensor>, count: number, biases: readonly (Tensor | undefined)[]): Tensor[] =>
  Array.from({ length: count }, (_, i) => {
    const [y, b] = [outputs[`y${i}`], biases[i]];
    return b ? tf.add(y, b) : y;
  });

/** x [.., I] and up to four weights [I, O_i] to x·w_i + b_i [.., O_i] each: x is read once for all. */
export function linears(x: Tensor, weights: readonly Tensor[], biases: readonly (Tensor | undefined)[] = []): Tensor[] {
  const run = several.get(weights.length);
  if (!run || !hasKernel(`Linear${weights.length}`)) return weights.map((w, i) => linear(x, w, biases[i]));
  return listed(run({ x, ...numbered('w', weights) }, {}), weights.length, biases);
}

/** x·w + b, with x [.., I], w [I, O] and b [O], as the parts of `columns` channels [.., O_i] that it consists of. */
export function splitLinear(x: Tensor, w: Tensor, b: Tensor | undefined, columns: readonly number[]): Tensor[] {
  const biases = b ? tf.split(b, [...columns]) : [];
  const run = split.get(columns.length);
  // The weight is split rather than its product: it has fewer rows than there are tokens.
  if (!run || !hasKernel(`SplitLinear${columns.length}`))
    return tf.split(w, [...columns], 1).map((part, i) => linear(x, part, biases[i]));
  return listed(run({ x, w }, { columns }), columns.length, biases);
}
