// Optimiser steps as float64 loops.
import type { Arrays, Plain } from '../core/kernel';

export const plain: Record<string, Plain> = {
  AdamW({ weight, gradient, first, second, rates, scale }, _shapes, attrs) {
    const { beta1, beta2, eps } = attrs as Record<string, number>;
    const g = gradient.map((value) => value * (scale ? scale[0] : 1));
    const m = first.map((value, i) => beta1 * value + (1 - beta1) * g[i]);
    const v = second.map((value, i) => beta2 * value + (1 - beta2) * g[i] ** 2);
    const w = weight.map((value, i) => rates[0] * value - (rates[1] * m[i]) / (Math.sqrt(v[i]) * rates[2] + eps));
    return { weight: w, first: m, second: v };
  },
  Sgd({ weight, gradient, buffer, rate, scale }, _shapes, attrs) {
    const { momentum = 0, weightDecay } = attrs as Record<string, number>;
    const g = gradient.map((value, i) => value * (scale ? scale[0] : 1) + weightDecay * weight[i]);
    const b = buffer?.map((value, i) => momentum * value + g[i]);
    const step = b ? (attrs.nesterov ? g.map((value, i) => value + momentum * b[i]) : b) : g;
    const w = weight.map((value, i) => value - rate[0] * step[i]);
    const out: Arrays = { weight: w };
    return b ? { ...out, buffer: b } : out;
  },
  StoreSound: ({ weight, next, scale }) => ({ weight: Number.isFinite(scale[0]) ? next : weight }),
  SquareSum: ({ x }) => ({ sum: Float64Array.of(x.reduce((sum, value) => sum + value * value, 0)) }),
};
