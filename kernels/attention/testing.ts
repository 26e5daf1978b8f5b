// For tests: differential and latent attention of given sizes, as the native kernels and the shaders are compared with the plain loops.
import { draw } from '../core/testing';
import { differentialAttention, differentialAttentionGrad, latentAttention, latentAttentionGrad } from './kernel';
import { plain } from './plain';

export interface Differential {
  B?: number;
  T: number;
  S?: number;
  H: number;
  Hk: number;
  d: number;
  e: number;
  causal?: boolean;
  rotary?: boolean;
  rest?: number;
}
/** Differential attention of these sizes: kernels, shapes, inputs that are not just in (-1, 1), and attributes. */
export function differentialSetting({
  B = 2,
  T,
  S = T,
  H,
  Hk,
  d,
  e,
  causal = true,
  rotary = true,
  rest = 0.4,
}: Differential) {
  const shapes = { q: [B, T, 2 * H, d], k: [B, S, 2 * Hk, d], v: [B, S, Hk, e], rest: [], weight: [e] };
  const angles = Float64Array.from({ length: (S * d) / 2 }, (_, i) => Math.floor(i / (d / 2)) / (1 + (i % (d / 2))));
  const rope = { cos: angles.map((u) => Math.fround(Math.cos(u))), sin: angles.map((u) => Math.fround(Math.sin(u))) };
  return {
    forward: differentialAttention,
    gradient: differentialAttentionGrad,
    plain,
    shapes: rotary ? { ...shapes, cos: [S, d / 2], sin: [S, d / 2] } : shapes,
    inputs: {
      q: draw(B * T * 2 * H * d, 1).map((u) => Math.fround(3 * u)),
      rest: Float64Array.of(Math.fround(rest)),
      ...(rotary && rope),
    },
    attrs: { scale: d ** -0.5, causal, epsilon: 1e-2 },
  };
}

export interface Latent {
  B?: number;
  T: number;
  S?: number;
  H: number;
  Hk: number;
  own: number;
  r: number;
  /** Width of a value; 0: tied. */
  e: number;
  causal?: boolean;
  rotary?: boolean;
}
/** Latent attention of these sizes. */
export function latentSetting({ B = 2, T, S = T, H, Hk, own, r, e, causal = true, rotary = true }: Latent) {
  const shapes = { q: [B, T, H, own + r], kv: [B, S, Hk, own + (e || r)], shared: [B, S, r] };
  const angles = Float64Array.from({ length: (S * r) / 2 }, (_, i) => Math.floor(i / (r / 2)) / (1 + (i % (r / 2))));
  const rope = { cos: angles.map((u) => Math.fround(Math.cos(u))), sin: angles.map((u) => Math.fround(Math.sin(u))) };
  return {
    forward: latentAttention,
    gradient: latentAttentionGrad,
    plain,
    shapes: rotary ? { ...shapes, cos: [S, r / 2], sin: [S, r / 2] } : shapes,
    inputs: { q: draw(B * T * H * (own + r), 1).map((u) => Math.fround(3 * u)), ...(rotary && rope) },
    attrs: { scale: (own + r) ** -0.5, causal, own, valueAt: e ? own : 0 },
  };
}
