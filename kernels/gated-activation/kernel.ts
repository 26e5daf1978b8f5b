// Activations by name, and the gate of a gated MLP, act(gate) · up: SwiGLU and its kin, from two tensors or from one that holds both halves.
import { type Attrs, defineKernel, type Kernel, type Shape, sizeOf } from '../core/kernel';

/** Names of attribute `activation`; native code takes the index. `gelu` is the tanh form, `relu2` the squared ReLU. */
export const activations = ['identity', 'silu', 'gelu', 'relu', 'relu2', 'sigmoid', 'tanh'] as const;
export type Activation = (typeof activations)[number];

const indexOf = (attrs: Attrs): number => activations.indexOf(attrs.activation as Activation);
const unknown = (attrs: Attrs): string | undefined =>
  indexOf(attrs) < 0 ? `activation ${String(attrs.activation)} is not one of ${activations.join(', ')}` : undefined;
const half = (x: Shape): Shape => [...x.slice(0, -1), x[x.length - 1] / 2];

/** x of any shape to y = act(x). Attribute: `activation`. */
export const activation = defineKernel({
  name: 'Activation',
  inputs: ['x'],
  outputs: ({ x }) => ({ y: x }),
  ints: ({ x }, attrs) => [sizeOf(x), indexOf(attrs)],
  refuses: (_, attrs) => unknown(attrs),
  gradient: { kernel: 'ActivationGrad', inputs: ['x'], outputs: [], cotangents: ['y'], of: ['x'] },
});
export const activationGrad = defineKernel({
  name: 'ActivationGrad',
  inputs: ['x', 'dy'],
  outputs: ({ x }) => ({ dx: x }),
  over: [['dy', 'x']],
  ints: ({ x }, attrs) => [sizeOf(x), indexOf(attrs)],
});

/** As ActivationGrad, and y of the forward pass again, which then need not be kept. */
export const activationAgain = defineKernel({
  name: 'ActivationAgain',
  inputs: ['x', 'dy'],
  outputs: ({ x }) => ({ dx: x, y: x }),
  over: [['x'], ['dy']],
  ints: ({ x }, attrs) => [sizeOf(x), indexOf(attrs)],
});

/** gate and up [.., F] to y [.., F] = act(gate) · up. Attribute: `activation`. */
export const gatedActivation = defineKernel({
  name: 'GatedActivation',
  inputs: ['gate', 'up'],
  outputs: ({ gate }) => ({ y: gate }),
  ints: ({ gate }, attrs) => [1, sizeOf(gate), indexOf(attrs)],
  refuses: ({ gate, up }, attrs) =>
    String(gate) === String(up)
      ? unknown(attrs)
      : `gate [${gate}] and up [${up}] differ: they must have one shape; broadcast the smaller one first`,
  gradient: {
    kernel: 'GatedActivationGrad',
    inputs: ['gate', 'up'],
    outputs: [],
    cotangents: ['y'],
    of: ['gate', 'up'],
  },
});

export const gatedActivationGrad = defineKernel({
  name: 'GatedActivationGrad',
  inputs: ['gate', 'up', 'dy'],
  outputs: ({ gate }) => ({ dgate: gate, dup: gate }),
  over: [['gate'], ['up', 'dy']],
  ints: ({ gate }, attrs) => [1, sizeOf(gate), indexOf(attrs)],
});

/** As GatedActivationGrad, and y of the forward pass again, which then need not be kept. */
export const gatedActivationAgain = defineKernel({
  name: 'GatedActivationAgain',
  inputs: ['gate', 'up', 'dy'],
  outputs: ({ gate }) => ({ dgate: gate, dup: gate, y: gate }),
  over: [['gate'], ['up'], ['dy']],
  ints: ({ gate }, attrs) => [1, sizeOf(gate), indexOf(attrs)],
});

/** x [.., 2F], the gate's F channels first, to y [.., F] = act(gate) · up. Attribute: `activation`. */
export const packedGatedActivation = defineKernel({
  name: 'PackedGatedActivation',
  inputs: ['x'],
  outputs: ({ x }) => ({ y: half(x) }),
  ints: ({ x }, attrs) => [sizeOf(x.slice(0, -1)), half(x)[x.length - 1], indexOf(attrs)],
  refuses: ({ x }, attrs) =>
    x.length > 0 && x[x.length - 1] % 2 === 0
      ? unknown(attrs)
      : `x [${x}] holds gate and up side by side, so its last axis must be even`,
  gradient: {
    kernel: 'PackedGatedActivationGrad',
    inputs: ['x'],
    outputs: [],
    cotangents: ['y'],
    of: ['x'],
  },
});

export const packedGatedActivationGrad = defineKernel({
  name: 'PackedGatedActivationGrad',
  inputs: ['x', 'dy'],
  outputs: ({ x }) => ({ dx: x }),
  ints: ({ x }, attrs) => [sizeOf(x.slice(0, -1)), half(x)[x.length - 1], indexOf(attrs)],
});

export const kernels: Kernel[] = [
  activation,
  activationGrad,
  activationAgain,
  gatedActivation,
  gatedActivationGrad,
  gatedActivationAgain,
  packedGatedActivation,
  packedGatedActivationGrad,
];
