// The weights that every quasiseparable mixer has, as Hydra starts them.
import type { WeightSpec } from '../define';

/** A step size drawn log-uniformly from 0.001 to 0.1, as the number whose softplus it is. */
function inverseSoftplusOfStep(uniform: number): number {
  const [low, high] = [0.001, 0.1];
  const dt = Math.exp(Math.log(low) + uniform * Math.log(high / low));
  return dt + Math.log(-Math.expm1(-dt));
}

/** Step sizes, decay rates and diagonal of H heads with `inner` channels in all; both directions share them. */
export const quasiseparableWeights = (H: number, inner: number): Record<string, WeightSpec> => ({
  dt_bias: {
    shape: [H],
    init: { kind: 'drawn', value: (draw) => inverseSoftplusOfStep(draw.uniform()) },
    decay: false,
  },
  A_log: { shape: [H], init: { kind: 'zeros' }, decay: false },
  D: { shape: [H], init: { kind: 'ones' }, decay: false },
  w_D: { shape: [inner, H], init: { kind: 'uniform', bound: 1 / Math.sqrt(inner) } },
});
