// Keys and values of Memory Mosaics (arXiv 2405.06394): leaky sums and mixtures with the next token, brought to one length a head.
import { type Attrs, defineKernel, type Kernel, type Shape, type Shapes } from '../core/kernel';

const ints = ({ u }: Shapes) => [u[0], u[1], u[2], u[3]]; // B, T, H, d
const keyFloats = (attrs: Attrs) => [Number(attrs.rawScaling), Number(attrs.epsilon), Number(attrs.power ?? 1)];
const valueFloats = (attrs: Attrs) => [Number(attrs.rawScaling), Number(attrs.epsilon)];

function problem(u: Shape, scalars: Record<string, Shape>, attrs: Attrs): string | undefined {
  if (u.length !== 4) return `u must be [batch, tokens, heads, width], not [${u.join(', ')}]`;
  if (u[3] < 1) return 'a head needs at least one channel';
  for (const [name, shape] of Object.entries(scalars))
    if (String(shape) !== String([u[2]])) return `${name} [${shape}] must be [${u[2]}], one a head`;
  if (!(Number(attrs.rawScaling) > 0)) return `rawScaling must be positive, not ${String(attrs.rawScaling)}`;
  if (!(Number(attrs.epsilon) >= 0)) return `epsilon must be 0 or more, not ${String(attrs.epsilon)}`;
  return undefined;
}

/**
 * u [B, T, H, d], leak and scale [H] to k [B, T, H, d] = min(e^(power · rawScaling · scale), 65535) · a / (|a| + epsilon), with
 * a[t] = e^(-rawScaling · |leak|) a[t-1] + u[t] from nothing. |a| is sqrt(Σ a² + 1e-30). Attributes: `rawScaling`, `epsilon`, `power` (default 1).
 */
export const leakyKeys = defineKernel({
  name: 'LeakyKeys',
  inputs: ['u', 'leak', 'scale'],
  outputs: ({ u }) => ({ k: u }),
  ints,
  floats: keyFloats,
  refuses: ({ u, leak, scale }, attrs) => problem(u, { leak, scale }, attrs),
  gradient: {
    kernel: 'LeakyKeysGrad',
    inputs: ['u', 'leak', 'scale'],
    outputs: [],
    cotangents: ['k'],
    of: ['u', 'leak', 'scale'],
  },
});

export const leakyKeysGrad = defineKernel({
  name: 'LeakyKeysGrad',
  inputs: ['u', 'leak', 'scale', 'dk'],
  outputs: ({ u, leak }) => ({ du: u, dleak: leak, dscale: leak }),
  ints,
  floats: keyFloats,
});

/**
 * u [B, T, H, d], mix and scale [H] to v [B, T, H, d] = e^(rawScaling · scale) · m / (|m| + epsilon), m[t] = mix u[t] + (1 - mix) u[t+1].
 * The last token has no successor: its v is 0, and nothing has a slope through it. Attributes: `rawScaling`, `epsilon`.
 */
export const mixedValues = defineKernel({
  name: 'MixedValues',
  inputs: ['u', 'mix', 'scale'],
  outputs: ({ u }) => ({ v: u }),
  ints,
  floats: valueFloats,
  refuses: ({ u, mix, scale }, attrs) => problem(u, { mix, scale }, attrs),
  gradient: {
    kernel: 'MixedValuesGrad',
    inputs: ['u', 'mix', 'scale'],
    outputs: [],
    cotangents: ['v'],
    of: ['u', 'mix', 'scale'],
  },
});

export const mixedValuesGrad = defineKernel({
  name: 'MixedValuesGrad',
  inputs: ['u', 'mix', 'scale', 'dv'],
  outputs: ({ u, mix }) => ({ du: u, dmix: mix, dscale: mix }),
  ints,
  floats: valueFloats,
});

export const kernels: Kernel[] = [leakyKeys, leakyKeysGrad, mixedValues, mixedValuesGrad];
