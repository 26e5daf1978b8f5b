// One optimiser step of one weight, AdamW or SGD, in one pass over its numbers; and the sum of squares that clipping needs. None has a gradient.
// Call them by runKernel(name, inputs, attrs): the results are new tensors, to be assigned to the variables.
import { type Attrs, defineKernel, type Kernel, type Shapes, sizeOf } from '../core/kernel';

const size = ({ weight }: Shapes) => [sizeOf(weight)];

/** All but the optional factor must be of the weight's shape. */
function differs({ weight, scale, ...others }: Shapes): string | undefined {
  for (const [name, shape] of Object.entries(others))
    if (String(shape) !== String(weight)) return `${name} [${shape}] differs from the weight's shape [${weight}]`;
  return scale && sizeOf(scale) !== 1 ? `scale must be one number, not [${scale}]` : undefined;
}

/**
 * weight, gradient and the moments first and second, all of one shape, and scale [] (a factor on the gradient, as clipping gives it) to the new
 * weight, first and second: m = β1 m + (1-β1) g, v = β2 v + (1-β2) g², w = w (1 - lr λ) - lr / (1-β1^t) · m / (√(v / (1-β2^t)) + ε).
 * Attributes: `lr`, `beta1`, `beta2`, `eps`, `weightDecay` (λ; 0 where the weight doesn't decay), `updates` (t, counts from 1).
 */
export const adamw = defineKernel({
  name: 'AdamW',
  inputs: ['weight', 'gradient', 'first', 'second', 'scale?'],
  outputs: ({ weight }) => ({ weight, first: weight, second: weight }),
  ints: size,
  floats(attrs: Attrs) {
    const { lr, beta1, beta2, eps, weightDecay, updates } = attrs as Record<string, number>;
    return [beta1, beta2, eps, 1 - lr * weightDecay, lr / (1 - beta1 ** updates), Math.sqrt(1 - beta2 ** updates)];
  },
  refuses: differs,
});

/**
 * weight, gradient, buffer (the momentum; absent without it) and scale [] to the new weight and buffer, as in PyTorch:
 * g += λ w, b = μ b + g, w -= lr (g + μ b) with Nesterov, else w -= lr b; without a buffer w -= lr g.
 * Attributes: `lr`, `momentum` (μ), `nesterov` (default false), `weightDecay` (λ; 0 where the weight doesn't decay).
 */
export const sgd = defineKernel({
  name: 'Sgd',
  inputs: ['weight', 'gradient', 'buffer?', 'scale?'],
  outputs: ({ weight, buffer }): Record<string, readonly number[]> =>
    buffer ? { weight, buffer: weight } : { weight },
  ints: (shapes, attrs) => [...size(shapes), Number(attrs.nesterov === true)],
  floats: (attrs) => [Number(attrs.lr), Number(attrs.momentum ?? 0), Number(attrs.weightDecay)],
  refuses: differs,
});

/** x of any shape to sum [] = Σ x², added in float64. */
export const squareSum = defineKernel({
  name: 'SquareSum',
  inputs: ['x'],
  outputs: () => ({ sum: [] }),
  ints: ({ x }) => [sizeOf(x)],
});

export const kernels: Kernel[] = [adamw, sgd, squareSum];
