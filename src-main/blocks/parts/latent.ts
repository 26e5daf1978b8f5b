// Attention from a latent: keys and values of all heads come of G small latents a token, positions of one rotary key (MLA with G = 1, GLA).
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Cache, Cost, Init, LayerContext, StepContext, WeightSpec, Weights } from '../define';
import { blockDiagonal } from './block_diagonal';
import { attendCaches, once, rotaryNow, turnNow } from './decoding';
import { attendDecoupled } from './decoupled';
import { groupedRmsNorm } from './grouped_norm';
import { linear, linears } from './linear';
import { rmsNorm } from './norm';
import { rotaryTables } from './rotary';

export interface LatentSizes {
  /** Query heads H, and latent heads G, each of which serves H/G neighbouring query heads. */
  H: number;
  G: number;
  /** Width of a latent head r, and of the query latent rq (0: queries are projected directly). */
  r: number;
  rq: number;
  /** Channels of a head: dN of the key that never turn, dR of the rotary key, dV of the value. */
  dN: number;
  dR: number;
  dV: number;
}
export interface Latent extends LatentSizes {
  causal: boolean;
  rotary: { theta: number; fraction: number };
  epsilon: number;
}

const matrix: Init = { kind: 'normal', std: 0.02 };
const ones: Init = { kind: 'ones' };

/** Weights around the latent that both blocks name alike: the queries, the down-projection and the rotary key, the output. */
export function projections({ H, G, r, rq, dN, dR, dV }: LatentSizes, D: number): Record<string, WeightSpec> {
  const Q = H * (dN + dR);
  const queries: Record<string, WeightSpec> =
    rq > 0
      ? {
          w_dq: { shape: [D, rq], init: matrix },
          q_norm: { shape: [rq], init: ones },
          w_uq: { shape: [rq, Q], init: matrix },
        }
      : { w_q: { shape: [D, Q], init: matrix } };
  return {
    ...queries,
    w_dkv: { shape: [D, G * r], init: matrix },
    w_kr: { shape: [D, dR], init: matrix },
    w_o: { shape: [H * dV, D], init: matrix },
  };
}

/** Matrix products only, keys and values made anew for the whole sequence; a causal map needs half the square and its diagonal. */
export function cost({ H, G, r, rq, dN, dR, dV, causal }: Latent, D: number, T: number): Cost {
  const pairs = causal ? (T * (T + 1)) / 2 : T * T;
  const query = rq > 0 ? rq * (D + H * (dN + dR)) : D * H * (dN + dR);
  const matrices = query + D * (G * r + dR) + r * H * (dN + dV) + H * dV * D;
  const forwardFlops = 2 * T * matrices + 2 * pairs * H * (dN + dR + dV);
  // Kept: the input, both latents before and after their norms, q, the keys and values of the heads, the rotary key, the output of the heads,
  // and a log-sum-exp a row.
  const latents = 2 * G * r + G + (rq > 0 ? 2 * rq + 1 : 0);
  const heads = H * (dN + dR) + H * (dN + dV) + dR + H * dV + H;
  // Held at the most: the slopes of the block's output, of the heads', of q, of their keys and values, and of the rotary key.
  const slopes = H * dV + H * (dN + dR) + H * (dN + dV) + dR;
  const workingNumbers = T * Math.max(3 * D, D + slopes);
  const savedNumbers = T * (D + latents + heads);
  // In 16 bits: the input, the normed latents and the slopes of q; of one group also those of keys and values, which one map makes.
  const savedHalves = T * (D + rq + (G === 1 ? r : 0));
  const workingHalves = T * (H * (dN + dR) + (G === 1 ? H * (dN + dV) : 0));
  return { forwardFlops, backwardFlops: 2 * forwardFlops, savedNumbers, savedHalves, workingNumbers, workingHalves };
}

/** Weights as the functions below read them: kv_norm [G, r], w_ukv [G, r, (H/G)·(dN+dV)], columns a head [key dN | value dV]; biases may be absent. */
type Grouped = Weights;

/** Queries [B, T, H, dN+dR] and rotary key [B, T, dR], neither turned, and normed latents [B, T, G·r]. */
function project(x: Tensor3D, w: Grouped, of: Latent) {
  const [B, T] = x.shape;
  const { H, rq, dN, dR, epsilon } = of;
  const first = rq > 0 ? [w.w_dq, w.b_dq] : [w.w_q, w.b_q];
  const [down, latents, shared] = linears(x, [first[0], w.w_dkv, w.w_kr], [first[1], w.b_dkv, w.b_kr]);
  const queries = rq > 0 ? linear(rmsNorm(down, w.q_norm, epsilon), w.w_uq, w.b_uq) : down;
  return {
    q: tf.reshape(queries, [B, T, H, dN + dR]) as Tensor4D,
    c: groupedRmsNorm(latents, w.kv_norm, epsilon),
    shared: shared as Tensor3D,
  };
}

/** Latents c [B, T, G·r] to each head's key and value [B, T, H, dN+dV], from the latent of its group. */
function rebuild(c: Tensor, w: Grouped, { H, G, r, dN, dV }: LatentSizes): Tensor4D {
  const [B, T] = c.shape;
  const columns = (H / G) * (dN + dV);
  const bias = w.b_ukv && tf.reshape(w.b_ukv, [G * columns]);
  const made =
    G === 1 ? linear(c, tf.reshape(w.w_ukv, [r, columns]), bias) : blockDiagonal(c, w.w_ukv as Tensor3D, bias);
  return tf.reshape(made, [B, T, H, dN + dV]) as Tensor4D;
}

const scaleOf = ({ dN, dR }: LatentSizes) => 1 / Math.sqrt(dN + dR);

/** The whole sequence, keys and values rebuilt: x [B, T, D] to [B, T, D]. */
export function forward(x: Tensor3D, w: Grouped, of: Latent, extra?: LayerContext<unknown>['extra']): Tensor3D {
  const [B, T] = x.shape;
  const { q, c, shared } = project(x, w, of);
  const heads = { q, kv: rebuild(c, w, of), shared, ...rotaryTables(0, T, of.dR, of.rotary) };
  const o = attendDecoupled(heads, { causal: of.causal, scale: scaleOf(of), valueAt: of.dN }, extra);
  return linear(tf.reshape(o, [B, T, of.H * of.dV]), w.w_o) as Tensor3D;
}

/** Exchanges the first two axes of [·, ·, d]. */
const swap = (u: Tensor) => tf.transpose(u, [1, 0, 2]) as Tensor3D;

/** Both halves of w_ukv by query head: U_k [H, r, dN] and U_v [H, r, dV]. */
function halves(w: Grouped, { H, G, r, dN, dV }: LatentSizes) {
  const byHead = () =>
    tf.reshape(tf.transpose(tf.reshape(w.w_ukv, [G, r, H / G, dN + dV]), [0, 2, 1, 3]), [H, r, dN + dV]);
  return {
    key: () => tf.slice(byHead(), [0, 0, 0], [H, r, dN]) as Tensor3D,
    value: () => tf.slice(byHead(), [0, 0, dN], [H, r, dV]) as Tensor3D,
  };
}

/** Latents [B, G, n, r] after the norm and rotary keys [B, n, dR] after the rotation, of the n tokens so far. */
export interface LatentCache {
  c: Cache;
  shared: Cache;
}

/**
 * One token from the cache, keys and values never rebuilt: q_n·(U_kᵀ c) = (U_k q_n)·c, so the key's half of w_ukv goes to the query, and the
 * value's half to the weighted sum of latents. A key bias adds the same to every score of a row and drops out; the shares sum to 1, so a value
 * bias is added once.
 */
function absorbed(q: Tensor4D, { c, shared }: LatentCache, w: Grouped, of: LatentSizes, context: StepContext<unknown>) {
  const { H, dN, dR, dV } = of;
  const [B] = q.shape;
  const half = halves(w, of);
  const query = tf.reshape(q, [B, H, dN + dR]);
  const still = tf.slice(query, [0, 0, 0], [B, H, dN]);
  const own = swap(tf.matMul(swap(still), once(context, 'U_k', half.key), false, true)); // [B, H, r]
  const turned = tf.slice(query, [0, 0, dN], [B, H, dR]);
  const mixed = attendCaches({ q: own, k: c, v: c, shared: { q: turned, k: shared } }, scaleOf(of)); // [B, H, r]
  const o = swap(tf.matMul(swap(mixed), once(context, 'U_v', half.value))); // [B, H, dV]
  if (!w.b_ukv) return o;
  return tf.add(o, tf.slice(tf.reshape(w.b_ukv, [H, dN + dV]), [0, dN], [H, dV])) as Tensor3D;
}

/**
 * One token x [B, 1, D] to [B, 1, D], with the caches after it. `keep` appends normed latents [B, G, 1, r] and turned rotary keys [B, 1, dR] to those of
 * the block, the latents in rows [B, G, n, r].
 */
export function step(
  x: Tensor3D,
  w: Grouped,
  of: Latent,
  context: StepContext<unknown>,
  keep: { c(row: Tensor): Cache; shared(row: Tensor): Cache },
) {
  const [B] = x.shape;
  const { q, c, shared } = project(x, w, of);
  const tables = rotaryNow(context, of.dR, of.rotary);
  const turned = turnNow(tf.reshape(shared, [B, 1, 1, of.dR]) as Tensor4D, of.dR, tables);
  const grown: LatentCache = {
    c: keep.c(tf.reshape(c, [B, of.G, 1, of.r])),
    shared: keep.shared(tf.reshape(turned, [B, 1, of.dR])),
  };
  const o = absorbed(turnNow(q, of.dR, tables), grown, w, of, context);
  return { y: linear(tf.reshape(o, [B, 1, of.H * of.dV]), w.w_o) as Tensor3D, cache: grown };
}
