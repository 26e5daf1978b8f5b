// Logarithms of decays as float64 loops.
import type { Plain } from '../core/kernel';

const logSigmoid = (x: number): number => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));

export const plain: Record<string, Plain> = {
  LogDecay: ({ x }, _, { share, floor }) => ({
    y: x.map((u) => Math.max(Number(floor), Number(share) * logSigmoid(u))),
  }),
  // ln σ(x) has the slope 1 - σ(x), and σ(x) = e^(y / share).
  LogDecayGrad: ({ y, dy }, _, { share, floor }) => ({
    dx: dy.map((g, i) => (y[i] > Number(floor) ? -g * Number(share) * Math.expm1(y[i] / Number(share)) : 0)),
  }),
};
