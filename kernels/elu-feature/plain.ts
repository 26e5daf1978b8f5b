// The features of linear attention as float64 loops.
import type { Plain } from '../core/kernel';

export const plain: Record<string, Plain> = {
  EluFeature: ({ x }, _, { scale }) => ({ y: x.map((u) => Number(scale) * (u > 0 ? u + 1 : Math.exp(u))) }),
  EluFeatureGrad: ({ y, dy }, _, { scale }) => ({ dx: dy.map((g, i) => g * Math.min(y[i], Number(scale))) }),
};
