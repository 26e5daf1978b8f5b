// What the palette, the checker and the engine know of Hydra.
import { wholeIsLess } from '../../../kernels/ssd-scan/kernel';
import type { Problem } from '../../spec/error';
import { defineBlock, type Init, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { quasiseparableWeights } from '../parts/quasiseparable_weights';
import { divisorNear } from '../parts/sizes';
import { scanFlops } from '../ssd_scan/block';
import { layer } from './layer';
import { type HydraOptions, options, sizes } from './options';

function rules(o: HydraOptions, width: number, path: string): Problem[] {
  const { inner, H } = sizes(o, width);
  const problems: Problem[] = [];
  if (o.dConv % 2 === 0)
    problems.push({
      path: `${path}.dConv`,
      message: `a centred convolution wants an odd number of taps, not ${o.dConv}`,
      hint: `try ${o.dConv + 1}`,
      fix: o.dConv + 1,
    });
  if (inner % o.headDim !== 0) {
    const fix = divisorNear(inner, o.headDim);
    const message = `heads of ${o.headDim} channels do not divide the inner width ${o.expand} × ${width} = ${inner}`;
    problems.push({ path: `${path}.headDim`, message, hint: `try ${fix}`, fix });
  } else if (H % o.groups !== 0) {
    const fix = divisorNear(H, o.groups);
    const message = `${o.groups} groups do not divide the ${H} heads (inner width ${inner} / head width ${o.headDim})`;
    problems.push({ path: `${path}.groups`, message, hint: `try ${fix}`, fix });
  }
  return problems;
}

export default defineBlock({
  id: 'hydra',
  role: 'mixer',
  title: 'Hydra',
  paper: 'https://arxiv.org/abs/2407.09941',
  options,
  rules,
  causal: () => false,
  weights(o, D) {
    const { inner, H, K, conv, columns } = sizes(o, D);
    const within = (fan: number): Init => ({ kind: 'uniform', bound: 1 / Math.sqrt(fan) });
    const weights: Record<string, WeightSpec> = {
      w_in: { shape: [D, columns], init: within(D) },
      conv_w: { shape: [K, conv], init: within(K), muon: false },
    };
    if (o.convBias) weights.conv_b = { shape: [conv], init: within(K) };
    Object.assign(weights, quasiseparableWeights(H, inner));
    weights.norm_w = { shape: [inner], init: { kind: 'ones' } };
    weights.w_out = { shape: [inner, D], init: within(inner) };
    if (o.bias) {
      weights.b_in = { shape: [columns], init: within(D) };
      weights.b_out = { shape: [D], init: within(inner) };
    }
    return weights;
  },
  cost(o, D, T) {
    const size = sizes(o, D);
    const { inner, H, P, N, K, conv, columns } = size;
    const scan = scanFlops(size, T);
    const matrices = T * 2 * (D * (columns + inner) + inner * H);
    const around = T * (2 * K * conv + 14 * inner);
    // Kept: the input, z, the channels before and after the convolution, the mixer's output and its norm; step sizes and own weights; and the
    // states of both scans where they keep them.
    const states = wholeIsLess({ T, P, N, perGroup: H / o.groups }) ? 0 : 2 * Math.ceil(T / 64) * H * P * N;
    return {
      forwardFlops: matrices + around + 2 * scan.forward,
      backwardFlops: 2 * matrices + 2 * around + 2 * scan.backward,
      savedNumbers: T * (D + 3 * inner + 2 * conv + 5 * H + 1) + states,
      savedHalves: T * (D + inner),
      workingNumbers: T * (D + 3 * inner),
    };
  },
  layer,
  golden(given) {
    const read = config(given);
    return {
      width: read.number('d_model'),
      options: {
        dState: read.number('d_state', 64),
        dConv: read.number('d_conv', 7),
        expand: read.number('expand', 2),
        headDim: read.number('headdim', 64),
        groups: read.number('n_groups', 1),
        read: read.choice('read', options.read.choices, 'neighbour'),
        bias: read.flag('bias', false),
        convBias: read.flag('conv_bias', true),
        dtLimit: read.interval('dt_limit'),
        normEps: read.number('norm_eps', 1e-5),
      },
    };
  },
});
