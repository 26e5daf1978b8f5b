// What the palette, the checker and the engine know of RWKV-7's time mixing.
import type { Problem } from '../../spec/error';
import { defineBlock, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { orthogonal } from '../parts/orthogonal';
import { countDepth, depthOf } from '../parts/place';
import { divisorNear } from '../parts/sizes';
import { ruleFlops } from '../wkv7/block';
import { SEGMENT } from '../wkv7/reference';
import { layer } from './layer';
import { fits, isFirst, options, type Rwkv7Options, sizes } from './options';

function rules({ headDim }: Rwkv7Options, width: number, path: string): Problem[] {
  if (width % headDim === 0) return [];
  const fix = divisorNear(width, headDim);
  const message = `heads of ${headDim} channels do not divide the width ${width}`;
  return [{ path: `${path}.headDim`, message, hint: `try ${fix}`, fix }];
}

/** Exponents of the token shifts at the start, by what they feed. */
const SHIFTS = { r: 0.2, w: 0.9, k: 0.7, v: 0.7, a: 0.9, g: 0.2 };

export default defineBlock({
  id: 'rwkv7',
  role: 'mixer',
  title: 'RWKV-7 time mixing',
  paper: 'https://arxiv.org/abs/2503.14456',
  options,
  rules,
  placed: (o, place) => countDepth(o, place, ['rwkv7']),
  fits,
  causal: () => true,
  weights(o, D) {
    const { H, N, decay, rate, value, gate } = sizes(o, D);
    const { layer, layers, share } = depthOf(o);
    const nearly = 1 - layer / layers; // from 1 towards 0 with depth
    const along = (j: number) => (D > 1 ? j / (D - 1) : 0);
    const tilt = (j: number) => along(j) - 0.5;
    /** From −1 to 1 within a head, flat in the middle. */
    const bend = (j: number) => {
      const s = N > 1 ? ((j % N) - (N - 1) / 2) / ((N - 1) / 2) : 0;
      return s * Math.abs(s);
    };
    const channels = (start: (j: number) => number): WeightSpec => ({
      shape: [D],
      init: { kind: 'drawn', value: (_, j) => start(j) },
    });
    // The reference decays its square matrices alone.
    const down = (n: number): WeightSpec => ({ shape: [D, n], init: { kind: 'zeros' }, decay: false });
    const up = (n: number): WeightSpec => ({
      shape: [n, D],
      init: orthogonal([n, D], 0.1 * Math.sqrt(Math.max(1, n / D))),
      decay: false,
    });
    const square = (gain: number): WeightSpec => ({ shape: [D, D], init: orthogonal([D, D], gain) });

    const weights: Record<string, WeightSpec> = {};
    for (const [name, exponent] of Object.entries(SHIFTS))
      weights[`x_${name}`] = channels((j) => 1 - (j / D) ** (exponent * nearly));
    Object.assign(weights, {
      w0: channels((j) => -5.5 + 6 * along(j) ** (1 + share ** 0.3) + 2.5 * bend(j)),
      w1: down(decay),
      w2: up(decay),
      a0: channels((j) => -0.19 + 0.3 * bend(j) + 0.4 * tilt(j)),
      a1: down(rate),
      a2: up(rate),
    });
    if (!isFirst(o))
      Object.assign(weights, { v0: channels((j) => 0.73 - 0.4 * tilt(j)), v1: down(value), v2: up(value) });
    return Object.assign(weights, {
      g1: down(gate),
      g2: up(gate),
      k_k: channels((j) => 0.71 - 0.1 * tilt(j)),
      k_a: channels(() => 1.02),
      r_k: { shape: [H, N], init: { kind: 'drawn', value: () => -0.04 }, decay: false, muon: false },
      w_r: square(1),
      w_k: square(0.1),
      w_v: square(1),
      w_o: { shape: [D, D], init: { kind: 'zeros' } },
      ln_w: channels(() => ((layer + 1) / layers) ** 0.7),
      ln_b: { shape: [D], init: { kind: 'zeros' } },
    } satisfies Record<string, WeightSpec>);
  },
  state(o, D) {
    const { H, N } = sizes(o, D);
    return { x_prev: { shape: [D] }, s: { shape: [H, N, N] } };
  },
  cost(o, D, T) {
    const { H, N, ...ranks } = sizes(o, D);
    const rank = ranks.decay + ranks.rate + ranks.gate + (isFirst(o) ? 0 : ranks.value);
    const around = T * (8 * D * D + 4 * D * rank + 40 * D);
    const rule = ruleFlops(N);
    // Kept: what came in and its six blends; the maps, with their ranks; the rule's output and what it takes out of the state; the gated sum; a
    // state a segment.
    const states = Math.ceil(T / SEGMENT) * H * N * N;
    return {
      forwardFlops: around + T * H * rule.forward,
      backwardFlops: 2 * around + T * H * rule.backward,
      savedNumbers: T * ((isFirst(o) ? 16 : 17) * D + rank) + states,
      savedHalves: T * 7 * D,
      workingNumbers: T * 2 * D,
    };
  },
  layer,
  golden(given) {
    const read = config(given);
    const [heads, headDim, width] = (['n_heads', 'head_dim', 'd_model'] as const).map((name) => read.number(name));
    if (heads * headDim !== width)
      throw new Error(`config: ${heads} heads of ${headDim} channels are ${heads * headDim}, not the width ${width}`);
    const index = read.number('layer');
    return {
      width,
      options: {
        headDim,
        decayRank: read.number('lora_decay'),
        rateRank: read.number('lora_rate'),
        valueRank: read.number('lora_value', 0),
        gateRank: read.number('lora_gate'),
        normEps: read.number('norm_eps', 64e-5),
        layer: index,
        layers: index + 1,
      },
    };
  },
});
