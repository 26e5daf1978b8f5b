// Activations and gated activations as float64 loops.
import type { Attrs, Plain } from '../core/kernel';
import type { Activation } from './kernel';

const sigmoid = (u: number): number => 1 / (1 + Math.exp(-u));
const root = Math.sqrt(2 / Math.PI);

/** Each activation and its derivative. */
const table: Record<Activation, [value: (u: number) => number, slope: (u: number) => number]> = {
  identity: [(u) => u, () => 1],
  silu: [(u) => u * sigmoid(u), (u) => sigmoid(u) * (1 + u * (1 - sigmoid(u)))],
  gelu: [
    (u) => 0.5 * u * (1 + Math.tanh(root * (u + 0.044715 * u ** 3))),
    (u) => {
      const t = Math.tanh(root * (u + 0.044715 * u ** 3));
      return 0.5 * (1 + t) + 0.5 * u * (1 - t * t) * root * (1 + 3 * 0.044715 * u * u);
    },
  ],
  relu: [(u) => Math.max(u, 0), (u) => (u > 0 ? 1 : 0)],
  relu2: [(u) => Math.max(u, 0) ** 2, (u) => 2 * Math.max(u, 0)],
  sigmoid: [sigmoid, (u) => sigmoid(u) * (1 - sigmoid(u))],
  tanh: [Math.tanh, (u) => 1 - Math.tanh(u) ** 2],
};

const of = (attrs: Attrs) => table[attrs.activation as Activation];

export const plain: Record<string, Plain> = {
  Activation({ x }, _shapes, attrs) {
    return { y: x.map(of(attrs)[0]) };
  },
  ActivationGrad({ x, dy }, _shapes, attrs) {
    const [, slope] = of(attrs);
    return { dx: dy.map((g, i) => g * slope(x[i])) };
  },
  ActivationAgain({ x, dy }, shapes, attrs) {
    return { ...plain.ActivationGrad({ x, dy }, shapes, attrs), ...plain.Activation({ x }, shapes, attrs) };
  },
  GatedActivation({ gate, up }, _shapes, attrs) {
    const [value] = of(attrs);
    return { y: up.map((b, i) => value(gate[i]) * b) };
  },
  GatedActivationGrad({ gate, up, dy }, _shapes, attrs) {
    const [value, slope] = of(attrs);
    return { dgate: dy.map((g, i) => g * up[i] * slope(gate[i])), dup: dy.map((g, i) => g * value(gate[i])) };
  },
  GatedActivationAgain({ gate, up, dy }, shapes, attrs) {
    return {
      ...plain.GatedActivationGrad({ gate, up, dy }, shapes, attrs),
      ...plain.GatedActivation({ gate, up }, shapes, attrs),
    };
  },
  PackedGatedActivation({ x }, { x: shape }, attrs) {
    const [value] = of(attrs);
    const F = shape[shape.length - 1] / 2;
    const y = new Float64Array(x.length / 2);
    for (let i = 0; i < y.length; i++) {
      const at = Math.floor(i / F) * 2 * F + (i % F);
      y[i] = value(x[at]) * x[at + F];
    }
    return { y };
  },
  PackedGatedActivationGrad({ x, dy }, { x: shape }, attrs) {
    const [value, slope] = of(attrs);
    const F = shape[shape.length - 1] / 2;
    const dx = new Float64Array(x.length);
    for (let i = 0; i < dy.length; i++) {
      const at = Math.floor(i / F) * 2 * F + (i % F);
      dx[at] = dy[i] * x[at + F] * slope(x[at]);
      dx[at + F] = dy[i] * value(x[at]);
    }
    return { dx };
  },
};
