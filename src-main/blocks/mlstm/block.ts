// What the palette, the checker and the engine know of the mLSTM block.
import type { Problem } from '../../spec/error';
import { defineBlock, type Init, type StateSpec, type WeightSpec } from '../define';
import { cellFlops } from '../mlstm_cell/block';
import { config } from '../parts/golden';
import { countDepth, depthOf } from '../parts/place';
import { divisorNear } from '../parts/sizes';
import { layer } from './layer';
import { type MlstmOptions, options, sizes } from './options';

function rules(o: MlstmOptions, width: number, path: string): Problem[] {
  const { E, H, S } = sizes(o, width);
  const named = o.inner ? `${E}` : `2 × ${width} = ${E}`;
  const problems: Problem[] = [];
  for (const [name, size, what] of [
    ['heads', H, `${H} heads`],
    ['blockSize', S, `projection blocks of ${S} channels`],
  ] as const) {
    if (E % size === 0) continue;
    const fix = divisorNear(E, size);
    const message = `${what} do not divide the inner width ${named}`;
    problems.push({ path: `${path}.${name}`, message, hint: `try ${fix}`, fix });
  }
  return problems;
}

export default defineBlock({
  id: 'mlstm',
  role: 'mixer',
  title: 'mLSTM',
  paper: 'https://arxiv.org/abs/2405.04517',
  options,
  rules,
  placed: (o, place) => countDepth(o, place, ['mlstm', 'slstm']),
  causal: () => true,
  weights(o, D) {
    const { E, H, K, S } = sizes(o, D);
    const taps: Init = { kind: 'uniform', bound: 1 / Math.sqrt(K) };
    const small: Init = { kind: 'normal', std: Math.sqrt(2 / (5 * D)) };
    const weights: Record<string, WeightSpec> = {
      w_up: { shape: [D, 2 * E], init: small },
      conv_w: { shape: [K, E], init: taps, muon: false },
      conv_b: { shape: [E], init: taps },
    };
    for (const name of ['q', 'k', 'v']) weights[`w_${name}`] = { shape: [E / S, S, S], init: small };
    weights.w_i = { shape: [3 * E, H], init: { kind: 'zeros' } };
    weights.b_i = { shape: [H], init: { kind: 'normal', std: 0.1 } };
    weights.w_f = { shape: [3 * E, H], init: { kind: 'zeros' } };
    // From 3 to 6: the first heads forget in tens of tokens, the last in hundreds.
    const ramp = (j: number) => (H > 1 ? 3 + (3 * j) / (H - 1) : 3);
    weights.b_f = { shape: [H], init: { kind: 'drawn', value: (_, j) => ramp(j) } };
    weights.norm_w = { shape: [E], init: { kind: 'ones' } };
    weights.skip = { shape: [E], init: { kind: 'ones' } };
    weights.w_down = { shape: [E, D], init: { kind: 'normal', std: 2 / (depthOf(o).layers * Math.sqrt(D)) } };
    if (o.bias) {
      const zeros = (n: number): WeightSpec => ({ shape: [n], init: { kind: 'zeros' } });
      Object.assign(weights, { b_up: zeros(2 * E), b_q: zeros(E), b_k: zeros(E), b_v: zeros(E), b_down: zeros(D) });
    }
    return weights;
  },
  state(o, D) {
    const { E, H, d, K } = sizes(o, D);
    const state: Record<string, StateSpec> = { c: { shape: [H, d, d] }, n: { shape: [H, d] }, m: { shape: [H] } };
    if (K > 1) state.conv = { shape: [K - 1, E] };
    return state;
  },
  cost(o, D, T) {
    const { E, H, d, K, S } = sizes(o, D);
    const cell = cellFlops({ H, d }, T);
    const matrices = T * (6 * D * E + 6 * E * S + 12 * E * H);
    const around = T * (2 * K * E + 25 * E);
    // Kept: x; u, z, c; q, k, v; the memory's output and its norm with skip and gate; gates, sizes and the norm's means; a memory a chunk.
    const states = cell.chunks * H * (d * d + 2 * d + 1);
    return {
      forwardFlops: matrices + around + cell.forward,
      backwardFlops: 2 * (matrices + around) + cell.backward,
      savedNumbers: T * (D + 8 * E + 5 * H) + states,
      savedHalves: T * (D + E),
      workingNumbers: T * (D + 3 * E),
    };
  },
  layer,
  golden(given) {
    const read = config(given);
    return {
      width: read.number('d_model'),
      options: {
        heads: read.number('n_heads'),
        inner: read.number('d_inner', 0),
        convSize: read.number('conv_size', 4),
        blockSize: read.number('qkv_block_size', 4),
        forgetGate: read.choice('forget_gate', ['sigmoid', 'exp'], 'sigmoid'),
        bias: read.flag('bias', false),
        normEps: read.number('norm_eps', 1e-5),
        eps: read.number('eps', 1e-6),
        layer: 0,
        layers: 1,
      },
    };
  },
});
