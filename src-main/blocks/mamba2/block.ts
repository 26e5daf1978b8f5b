// What the palette, the checker and the engine know of Mamba-2.
import { wholeIsLess } from '../../../kernels/ssd-scan/kernel';
import type { Problem } from '../../spec/error';
import { defineBlock, type StateSpec, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { divisorNear } from '../parts/sizes';
import { scanFlops } from '../ssd_scan/block';
import { layer } from './layer';
import { type Mamba2Options, options, sizes } from './options';

function rules(o: Mamba2Options, width: number, path: string): Problem[] {
  const { inner, H } = sizes(o, width);
  if (inner % o.headDim !== 0) {
    const fix = divisorNear(inner, o.headDim);
    const message = `heads of ${o.headDim} channels do not divide the inner width ${o.expand} × ${width} = ${inner}`;
    return [{ path: `${path}.headDim`, message, hint: `try ${fix}`, fix }];
  }
  if (H % o.groups !== 0) {
    const fix = divisorNear(H, o.groups);
    const message = `${o.groups} groups do not divide the ${H} heads (inner width ${inner} / head width ${o.headDim})`;
    return [{ path: `${path}.groups`, message, hint: `try ${fix}`, fix }];
  }
  return [];
}

/** A step size drawn log-uniformly from 0.001 to 0.1, as the number whose softplus it is. */
function inverseSoftplusOfStep(uniform: number): number {
  const [low, high, floor] = [0.001, 0.1, 1e-4];
  const dt = Math.max(Math.exp(Math.log(low) + uniform * (Math.log(high) - Math.log(low))), floor);
  return dt + Math.log(-Math.expm1(-dt));
}

export default defineBlock({
  id: 'mamba2',
  role: 'mixer',
  title: 'Mamba-2',
  paper: 'https://arxiv.org/abs/2405.21060',
  options,
  rules,
  causal: () => true,
  weights(o, D) {
    const { inner, H, K, conv, columns } = sizes(o, D);
    const taps = 1 / Math.sqrt(K);
    const weights: Record<string, WeightSpec> = {
      w_in: { shape: [D, columns], init: { kind: 'uniform', bound: 1 / Math.sqrt(D) } },
      conv_w: { shape: [K, conv], init: { kind: 'uniform', bound: taps }, muon: false },
    };
    if (o.convBias) weights.conv_b = { shape: [conv], init: { kind: 'uniform', bound: taps } };
    weights.dt_bias = {
      shape: [H],
      init: { kind: 'drawn', value: (draw) => inverseSoftplusOfStep(draw.uniform()) },
      decay: false,
    };
    weights.A_log = {
      shape: [H],
      init: { kind: 'drawn', value: (draw) => Math.log(1 + 15 * draw.uniform()) },
      decay: false,
    };
    weights.D = { shape: [H], init: { kind: 'ones' }, decay: false };
    weights.norm_w = { shape: [inner], init: { kind: 'ones' } };
    weights.w_out = { shape: [inner, D], init: { kind: 'uniform', bound: 1 / Math.sqrt(inner), branch: true } };
    if (o.bias) {
      weights.b_in = { shape: [columns], init: { kind: 'zeros' } };
      weights.b_out = { shape: [D], init: { kind: 'zeros' } };
    }
    return weights;
  },
  state(o, D) {
    const { H, P, N, K, conv } = sizes(o, D);
    const state: Record<string, StateSpec> = { ssm: { shape: [H, P, N] } };
    if (K > 1) state.conv = { shape: [K - 1, conv] };
    return state;
  },
  cost(o, D, T) {
    const size = sizes(o, D);
    const { inner, H, P, N, K, conv, columns } = size;
    const scan = scanFlops(size, T);
    const matrices = T * 2 * D * (columns + inner);
    const around = T * (2 * K * conv + 12 * inner);
    // Kept: the input, z, the channels before the convolution, dt, the scan's output and its norm; and where the sequence is long, the channels
    // after the convolution and a state a chunk.
    const short = wholeIsLess({ T, P, N, perGroup: H / o.groups });
    const longer = short ? 0 : T * conv + Math.ceil(T / 64) * H * P * N;
    return {
      forwardFlops: matrices + around + scan.forward,
      backwardFlops: 2 * matrices + 2 * around + scan.backward,
      savedNumbers: T * (D + 3 * inner + conv + 2 * H + 1) + longer,
      savedHalves: T * (D + inner),
      workingNumbers: T * (D + 2 * inner),
    };
  },
  layer,
  golden(given) {
    const read = config(given);
    return {
      width: read.number('d_model'),
      options: {
        dState: read.number('d_state', 128),
        dConv: read.number('d_conv', 4),
        expand: read.number('expand', 2),
        headDim: read.number('headdim', 64),
        groups: read.number('n_groups', 1),
        normBeforeGate: read.flag('norm_before_gate', false),
        bias: read.flag('bias', false),
        convBias: read.flag('conv_bias', true),
        dtLimit: read.interval('dt_limit'),
        normEps: read.number('norm_eps', 1e-5),
      },
    };
  },
});
