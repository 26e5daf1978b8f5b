// RWKV-7's rule with all that stands around it in its layer: what it takes out of the layer's maps, the norm of each head, the bonus and the gate.
import { type Attrs, defineKernel, type Kernel, type Shape, type Shapes, sizeOf } from '../core/kernel';

/** Tokens between states that are kept for the gradient; those inside are computed again. */
export const segment = 16;

const maps = ['r', 'decay', 'key', 'v', 'rate', 'gate'] as const;
const first = ['first', 'share'] as const;
const channels = ['w0', 'a0', 'k_k', 'k_a', 'r_k', 'ln_w', 'ln_b'] as const;
const inputs = [...maps, 'first?', 'share?', ...channels, 'v0?'];
const names = inputs.map((name) => name.replace('?', ''));

const ints = ({ r: [B, T, D] }: Shapes, { heads }: Attrs) => [B, T, Number(heads), D / Number(heads)];
const floats = ({ epsilon }: Attrs) => [Number(epsilon)];
const states = ([B, T, D]: Shape, { heads }: Attrs): Shape => {
  const [H, N] = [Number(heads), D / Number(heads)];
  return [B, H, Math.ceil(T / segment), N, N];
};

/**
 * Maps r, decay, key, v, rate and gate of the tokens, [B, T, D] each, in `heads` of N channels, to y [B, T, D]:
 *
 *     w = −e^−½ σ(decay + w0),  a = σ(rate + a0),  κ = (key · k_k) / |key · k_k|,  k = key · (1 + (a − 1) · k_a),  v' = v + (first − v) · σ(share + v0)
 *     o = the rule of Wkv7 for r, w, k, v', −κ and κ · a
 *     y = (norm(o) · ln_w + ln_b + v' · Σ r · k · r_k) · gate, norm and sum over each head
 *
 * Lengths below 1e-12 count as that. Without first, share and v0, which go together, v' is v. w0 to ln_b and v0 have D entries. Attributes: heads,
 * and epsilon, added to the variance. `o` and `out` [B, T, D], the rule's output and what each token takes out of the state, and `states`
 * [B, H, ceil(T / 16), N, N] are for the gradient.
 */
export const rwkv7Mix = defineKernel({
  name: 'Rwkv7Mix',
  inputs,
  outputs: ({ r }, attrs) => ({ y: r, o: r, out: r, states: states(r, attrs) }),
  ints,
  floats,
  refuses(shapes, attrs) {
    const { r } = shapes;
    const heads = Number(attrs.heads);
    if (r.length !== 3) return `r must be [batch, tokens, channels], not [${r.join(', ')}]`;
    if (!(heads >= 1) || r[2] % heads !== 0) return `${r[2]} channels do not divide into ${heads} heads`;
    for (const name of [...maps, ...first])
      if (shapes[name] && String(shapes[name]) !== String(r))
        return `${name} [${shapes[name]}] must have the shape of r [${r}]`;
    for (const name of [...channels, 'v0'])
      if (shapes[name] && sizeOf(shapes[name]) !== r[2])
        return `${name} has ${sizeOf(shapes[name])} entries, r has ${r[2]} channels`;
    if (!shapes.first !== !shapes.share || !shapes.first !== !shapes.v0)
      return 'first, share and v0 go together: give all or none';
    if (!(Number(attrs.epsilon) >= 0)) return `epsilon must be a number from 0, not ${attrs.epsilon}`;
    return undefined;
  },
  gradient: {
    kernel: 'Rwkv7MixGrad',
    inputs: names,
    outputs: ['o', 'out', 'states'],
    cotangents: ['y'],
    of: names,
  },
});

export const rwkv7MixGrad = defineKernel({
  name: 'Rwkv7MixGrad',
  inputs: [...inputs, 'o', 'out', 'states', 'dy'],
  outputs: (shapes) => Object.fromEntries(names.map((name) => [`d${name}`, shapes[name] ?? [0]])),
  ints,
  floats,
});

/**
 * The same for one token, T = 1, after a state s [B, H, N, N] by value and key channel, which becomes the state after it. Nothing is kept for a gradient.
 */
export const rwkv7MixStep = defineKernel({
  name: 'Rwkv7MixStep',
  inputs: [...inputs, 's'],
  outputs: ({ r, s }) => ({ s, y: r }),
  ints,
  floats,
  inPlace: true,
  refuses({ s, ...shapes }, attrs) {
    const why = rwkv7Mix.refuses?.(shapes, attrs);
    if (why) return why;
    const [B, T, D] = shapes.r;
    const [H, N] = [Number(attrs.heads), D / Number(attrs.heads)];
    if (T !== 1) return `a step takes one token, not ${T}`;
    return String(s) === String([B, H, N, N]) ? undefined : `s is [${s}], and [${[B, H, N, N]}] fits r [${shapes.r}]`;
  },
});

export const kernels: Kernel[] = [rwkv7Mix, rwkv7MixGrad, rwkv7MixStep];
