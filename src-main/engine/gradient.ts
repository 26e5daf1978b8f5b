// Loss and gradients of one training step, worked off in parts and joined in a fixed order.
import type { Scalar, Tensor, Tensor2D, Variable } from '@tensorflow/tfjs-core';
import { fed, fedNumber, tf } from '../ops';
import type { Model } from './build';

/** Some rows of a batch, row-major `[size, tokens]`. */
export interface Part {
  size: number;
  tokens: number;
  inputs: Int32Array;
  targets: Int32Array;
  /** 1 where graded; null if every position is. */
  mask: Uint8Array | null;
}

/** Graded positions of a part. */
const gradedOf = ({ mask, inputs }: Part): number => (mask ? mask.reduce((sum, one) => sum + one, 0) : inputs.length);

/** The part that `now` gives, on the device; a captured step asks `now` again each time. The caller tidies. */
export function tensorsOf(now: () => Part): [Tensor2D, Tensor2D, Tensor2D | undefined] {
  const { size, tokens, mask } = now();
  const shape = [size, tokens];
  return [
    fed(() => now().inputs, shape, 'int32') as Tensor2D,
    fed(() => now().targets, shape, 'int32') as Tensor2D,
    mask ? (fed(() => Float32Array.from(now().mask!), shape, 'float32') as Tensor2D) : undefined,
  ];
}

export interface LossAndGradients {
  /** Mean nats over the graded tokens of all parts. */
  loss: Scalar;
  /** By weight name; a weight that the loss does not reach has none. The caller disposes of them, and of the loss. */
  gradients: Map<string, Tensor>;
}

/** What each part weighs in the loss: its share of the graded tokens. */
export function sharesOf(parts: readonly Part[]): number[] {
  const graded = parts.map(gradedOf);
  const total = graded.reduce((a, b) => a + b, 0);
  if (total === 0) throw new Error('internal: a training batch without a graded token');
  return graded.map((count) => count / total);
}

/**
 * Loss and gradients of all parts together. Each part weighs by its graded tokens, so cutting a batch into parts changes
 * nothing but rounding.
 * @param parts a captured step reads this list again each time: the next step's parts, of the same shapes, may stand in it by then.
 * @param shares `sharesOf(parts)`, likewise.
 * @param step number of the step, for models that draw random numbers; asked again each time.
 */
export function gradientsOf(
  model: Model,
  parts: readonly Part[],
  labelSmoothing: number,
  shares: readonly number[] = sharesOf(parts),
  step: () => number = () => 0,
): LossAndGradients {
  let sum: LossAndGradients | undefined;
  for (const i of parts.keys()) {
    const share = parts.length > 1 ? () => shares[i] : undefined;
    // Rows count through all parts, so that a batch in parts draws what the whole would.
    const row = parts.slice(0, i).reduce((sum, { size }) => sum + size, 0);
    const one = partGradients(model, () => parts[i], {
      labelSmoothing,
      share,
      counter: () => Int32Array.of(step(), row),
    });
    sum = sum ? added(sum, one) : one;
  }
  return sum!;
}

function partGradients(
  model: Model,
  part: () => Part,
  given: { labelSmoothing: number; share: (() => number) | undefined; counter(): Int32Array },
): LossAndGradients {
  const { labelSmoothing, share } = given;
  const { value, grads } = tf.tidy(() => {
    const [inputs, targets, mask] = tensorsOf(part);
    const counter = model.random ? fed(given.counter, [2], 'int32') : undefined;
    return tf.variableGrads(
      () => {
        const loss = model.loss(inputs, targets, mask, { labelSmoothing, training: true, counter });
        return share ? (tf.mul(loss, fedNumber(share)) as Scalar) : loss;
      },
      [...model.weights.values()] as Variable[],
    );
  });
  const gradients = new Map<string, Tensor>();
  for (const [name, variable] of model.weights) {
    const gradient = grads[variable.name];
    if (gradient) gradients.set(name, gradient);
  }
  return { loss: value, gradients };
}

function added(a: LossAndGradients, b: LossAndGradients): LossAndGradients {
  const join = (x: Tensor | undefined, y: Tensor | undefined): Tensor => {
    if (!x || !y) return (x ?? y)!;
    const sum = tf.add(x, y);
    x.dispose();
    y.dispose();
    return sum;
  };
  const names = new Set([...a.gradients.keys(), ...b.gradients.keys()]);
  return {
    loss: join(a.loss, b.loss) as Scalar,
    gradients: new Map([...names].map((name) => [name, join(a.gradients.get(name), b.gradients.get(name))])),
  };
}
