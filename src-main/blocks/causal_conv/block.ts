// What the palette, the checker and the engine know of the short convolution.
import { defineBlock, type WeightSpec } from '../define';
import { activationKeeps } from '../parts/activation';
import { layer } from './layer';
import { options } from './options';

export default defineBlock({
  id: 'causal_conv',
  role: 'mixer',
  title: 'Short convolution',
  paper: 'https://arxiv.org/abs/2212.14052',
  options,
  causal: () => true,
  weights({ size: K, bias }, D) {
    const init = { kind: 'uniform', bound: 1 / Math.sqrt(K) } as const;
    const weights: Record<string, WeightSpec> = { w: { shape: [K, D], init, muon: false } };
    if (bias) weights.b = { shape: [D], init };
    return weights;
  },
  state: ({ size: K }, D): Record<string, { shape: number[] }> => (K > 1 ? { rows: { shape: [K - 1, D] } } : {}),
  cost({ size: K, activation }, D, T) {
    const forwardFlops = 2 * K * T * D;
    // Kept: the input; and what an activation beside the kernel's own was given, or gave.
    const beside = activation === 'silu' || activation === 'identity' ? 0 : activationKeeps(activation) || 1;
    return { forwardFlops, backwardFlops: 2 * forwardFlops, savedNumbers: T * (1 + beside) * D, savedHalves: 0 };
  },
  layer,
});
