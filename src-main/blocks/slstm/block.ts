// What the palette, the checker and the engine know of the sLSTM block.
import type { Problem } from '../../spec/error';
import { defineBlock, type Init, type StateSpec, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { countDepth, depthOf } from '../parts/place';
import { divisorNear } from '../parts/sizes';
import { cellFlops } from '../slstm_cell/block';
import { layer } from './layer';
import { options, type SlstmOptions } from './options';

function rules({ heads }: SlstmOptions, width: number, path: string): Problem[] {
  if (width % heads === 0) return [];
  const fix = divisorNear(width, heads);
  return [
    { path: `${path}.heads`, message: `${heads} heads do not divide the width ${width}`, hint: `try ${fix}`, fix },
  ];
}

const FORGET = 1;
/** Bias of gate `g` at channel `j` of a head of d. */
function bias(o: SlstmOptions, g: number, j: number, d: number): number {
  if (g !== FORGET) return 0;
  const along = d > 1 ? j / (d - 1) : 0;
  if (o.forgetInit === 'ramp') return 3 + 3 * along;
  return 5 - 12 * along ** (0.3 + 1.3 * depthOf(o).share);
}

export default defineBlock({
  id: 'slstm',
  role: 'mixer',
  title: 'sLSTM',
  paper: 'https://arxiv.org/abs/2405.04517',
  options,
  rules,
  placed: (o, place) => countDepth(o, place, ['mlstm', 'slstm']),
  causal: () => true,
  weights(o, D) {
    const { heads: H, convSize: K } = o;
    const d = Math.floor(D / H);
    const taps: Init = { kind: 'uniform', bound: 1 / Math.sqrt(K) };
    const weights: Record<string, WeightSpec> = {
      conv_w: { shape: [K, D], init: taps, muon: false },
      conv_b: { shape: [D], init: taps },
    };
    for (const gate of ['i', 'f', 'z', 'o'])
      weights[`w_${gate}`] = { shape: [H, d, d], init: { kind: 'normal', std: Math.sqrt(2 / (5 * D)) } };
    const recurrent: Init =
      o.recurrentInit === 'uniform' ? { kind: 'uniform', bound: 1 / Math.sqrt(D) } : { kind: 'zeros' };
    weights.r = { shape: [4, H, d, d], init: recurrent };
    const start: Init = { kind: 'drawn', value: (_, at) => bias(o, Math.floor(at / D), (at % D) % d, d) };
    weights.b = { shape: [4, D], init: start, decay: false, muon: false };
    weights.norm_w = { shape: [D], init: { kind: 'ones' } };
    return weights;
  },
  state({ convSize: K }, D) {
    const state: Record<string, StateSpec> = {
      h: { shape: [D] },
      c: { shape: [D] },
      n: { shape: [D] },
      m: { shape: [D] },
    };
    if (K > 1) state.conv = { shape: [K - 1, D] };
    return state;
  },
  cost({ heads: H, convSize: K }, D, T) {
    const d = D / H;
    const forwardFlops = T * (8 * D * d + 2 * K * D + 5 * D) + cellFlops({ H, d }, T).forward;
    // Kept: x and its convolution; six numbers a channel of the cell; its output.
    const savedNumbers = T * (9 * D + 2 * H);
    return { forwardFlops, backwardFlops: 2 * forwardFlops, savedNumbers, savedHalves: 0, workingNumbers: T * 6 * D };
  },
  layer,
  golden(given) {
    const read = config(given);
    return {
      width: read.number('d_model'),
      options: {
        heads: read.number('n_heads'),
        convSize: read.number('conv_size', 4),
        recurrentInit: 'zeros' as const,
        forgetInit: 'power' as const,
        normEps: read.number('norm_eps', 1e-5),
        layer: 0,
        layers: 1,
      },
    };
  },
});
