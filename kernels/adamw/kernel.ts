// One optimiser step of one weight, AdamW or SGD, in one pass over its numbers; and the sum of squares that clipping needs. None has a gradient.
// The numbers that change from update to update are inputs, so that a captured step can be fed with them. On a GPU a scale that is not a finite
// number leaves weight and state as they are.
import { type Attrs, defineKernel, type Kernel, type Shapes, sizeOf } from '../core/kernel';

const size = ({ weight }: Shapes) => [sizeOf(weight)];

/** All but the numbers that change from update to update must be of the weight's shape. */
function differs(wanted: Shapes): (shapes: Shapes) => string | undefined {
  return ({ weight, scale, ...others }) => {
    for (const [name, shape] of Object.entries(others))
      if (String(shape) !== String(wanted[name] ?? weight))
        return wanted[name]
          ? `${name} must be [${wanted[name]}], not [${shape}]`
          : `${name} [${shape}] differs from the weight's shape [${weight}]`;
    return scale && sizeOf(scale) !== 1 ? `scale must be one number, not [${scale}]` : undefined;
  };
}

/** The input `rates` [3] of AdamW at its update t, which counts from 1: 1 - lr λ, lr / (1-β1^t), 1 / √(1-β2^t). */
export const adamwRates = (lr: number, beta1: number, beta2: number, weightDecay: number, t: number): number[] => [
  1 - lr * weightDecay,
  lr / (1 - beta1 ** t),
  1 / Math.sqrt(1 - beta2 ** t),
];

/**
 * weight, gradient and the moments first and second, all of one shape, rates [3] (see `adamwRates`) and scale [] (a factor on the gradient, as
 * clipping gives it) to the new weight, first and second:
 * m = β1 m + (1-β1) g, v = β2 v + (1-β2) g², w = rates[0] w - rates[1] · m / (√v · rates[2] + ε).
 * Attributes: `beta1`, `beta2`, `eps`.
 */
export const adamw = defineKernel({
  name: 'AdamW',
  inputs: ['weight', 'gradient', 'first', 'second', 'rates', 'scale?'],
  outputs: ({ weight }) => ({ weight, first: weight, second: weight }),
  inPlace: true,
  ints: size,
  floats: ({ beta1, beta2, eps }: Attrs) => [Number(beta1), Number(beta2), Number(eps)],
  refuses: differs({ rates: [3] }),
});

/**
 * weight, gradient, buffer (the momentum; absent without it), rate [1] (lr) and scale [] to the new weight and buffer, as in PyTorch:
 * g += λ w, b = μ b + g, w -= lr (g + μ b) with Nesterov, else w -= lr b; without a buffer w -= lr g.
 * Attributes: `momentum` (μ), `nesterov` (default false), `weightDecay` (λ; 0 where the weight doesn't decay).
 */
export const sgd = defineKernel({
  name: 'Sgd',
  inputs: ['weight', 'gradient', 'buffer?', 'rate', 'scale?'],
  outputs: ({ weight, buffer }): Record<string, readonly number[]> =>
    buffer ? { weight, buffer: weight } : { weight },
  inPlace: true,
  ints: (shapes, attrs) => [...size(shapes), Number(attrs.nesterov === true)],
  floats: (attrs) => [Number(attrs.momentum ?? 0), Number(attrs.weightDecay)],
  refuses: differs({ rate: [1] }),
});

/**
 * weight, next of its shape and scale [] to the new weight: next where scale is a finite number, else as it was. For devices that learn after
 * the update only whether the step was sound.
 */
export const storeSound = defineKernel({
  name: 'StoreSound',
  inputs: ['weight', 'next', 'scale'],
  outputs: ({ weight }) => ({ weight }),
  inPlace: true,
  ints: size,
  refuses: differs({}),
});

/** x of any shape to sum [] = Σ x², added in float64. */
export const squareSum = defineKernel({
  name: 'SquareSum',
  inputs: ['x'],
  outputs: () => ({ sum: [] }),
  ints: ({ x }) => [sizeOf(x)],
});

export const kernels: Kernel[] = [adamw, sgd, storeSound, squareSum];
