// What RWKV-7's time mixing makes of its maps: decays, rates and directions for the delta rule, its norm, the bonus and the gate.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { rwkv7Mix as kernel, rwkv7MixStep as stepKernel } from '../../../kernels/wkv7/mix';
import { bind, hasKernel, type Inputs, tf } from '../../ops';
import type { StepContext, Weights } from '../define';
import { headNorm } from '../parts/head_norm';
import { changeState } from '../parts/state_step';
import { blend } from '../parts/tokens';
import { wkv } from '../wkv7/fused';
import { step as stepRule } from '../wkv7/reference';

// Log decays lie between this and 0.
const STRONGEST_DECAY = -Math.exp(-0.5);
const SMALLEST_NORM = 1e-12;

/** Maps of the blended tokens, [B, T, D] each, that no bias is added to yet; beyond the first layer its values and the share that they get. */
export interface Maps {
  r: Tensor;
  decay: Tensor;
  key: Tensor;
  v: Tensor;
  rate: Tensor;
  gate: Tensor;
  first?: Tensor;
  share?: Tensor;
}
const CHANNELS = ['w0', 'a0', 'k_k', 'k_a', 'r_k', 'ln_w', 'ln_b'] as const;

/** u [.., D] divided by its length in each head of N; shorter ones than 1e-12 by that. */
function unit(u: Tensor, N: number): Tensor {
  const heads = tf.reshape(u, [-1, N]);
  const square = tf.maximum(tf.sum(tf.square(heads), 1, true), SMALLEST_NORM ** 2);
  return tf.reshape(tf.mul(heads, tf.rsqrt(square)), u.shape);
}

/** What the rule takes, [B, T, D] each, in heads of N channels. */
function ruleOf({ r, decay, key, v, rate, first, share }: Maps, w: Weights, N: number) {
  const removed = tf.sigmoid(tf.add(rate, w.a0));
  const direction = unit(tf.mul(key, w.k_k), N);
  return {
    r,
    w_log: tf.mul(tf.sigmoid(tf.add(decay, w.w0)), STRONGEST_DECAY),
    k: tf.mul(key, tf.add(tf.mul(tf.sub(removed, 1), w.k_a), 1)),
    v: first ? blend(v as Tensor3D, first as Tensor3D, tf.sigmoid(tf.add(share!, w.v0))) : v,
    a: tf.neg(direction),
    b: tf.mul(direction, removed),
  };
}

/** What the rule gave, o [B, T, D], normed, with the bonus of each token itself and the gate. */
function gated(
  o: Tensor,
  { r, k, v }: { r: Tensor; k: Tensor; v: Tensor },
  gate: Tensor,
  w: Weights,
  { heads, epsilon }: { heads: number; epsilon: number },
): Tensor {
  const [B, T, D] = v.shape as [number, number, number];
  const split = (u: Tensor) => tf.reshape(u, [B, T, heads, D / heads]);
  const normed = headNorm(o, heads, epsilon, w.ln_w, { bias: w.ln_b });
  const weights = tf.reshape(w.r_k, [heads, D / heads]);
  const bonus = tf.sum(tf.mul(split(tf.mul(r, k)), weights), 3, true);
  return tf.mul(tf.add(normed, tf.reshape(tf.mul(split(v), bonus), [B, T, D])), gate);
}

function composed(inputs: Inputs, heads: number, epsilon: number): { y: Tensor } {
  const maps = inputs as unknown as Maps;
  const w = inputs as Weights;
  const [B, T, D] = maps.r.shape as [number, number, number];
  const rule = ruleOf(maps, w, D / heads);
  const turned = (u: Tensor) => tf.transpose(tf.reshape(u, [B, T, heads, D / heads]), [0, 2, 1, 3]) as Tensor4D;
  const { r, w_log, k, v, a, b } = rule;
  const o = wkv({ r: turned(r), w_log: turned(w_log), k: turned(k), v: turned(v), a: turned(a), b: turned(b) });
  const rows = tf.reshape(tf.transpose(o, [0, 2, 1, 3]), [B, T, D]);
  return { y: gated(rows, rule, maps.gate, w, { heads, epsilon }) };
}

const bound = bind(kernel, {
  replaces: (inputs, { heads, epsilon }) => composed(inputs, Number(heads), Number(epsilon)),
});

/** The kernel's inputs: maps and weights by channel. */
function inputsOf(maps: Maps, w: Weights): Inputs {
  const channels = maps.first ? [...CHANNELS, 'v0'] : CHANNELS;
  return { ...maps, ...Object.fromEntries(channels.map((name) => [name, w[name]])) };
}

/** The maps of all tokens to what the output projection takes [B, T, D]. */
export function mix(maps: Maps, w: Weights, heads: number, epsilon: number): Tensor {
  const inputs = inputsOf(maps, w);
  // A device with the rule alone makes it of that.
  return hasKernel(kernel.name) ? bound(inputs, { heads, epsilon }).y : composed(inputs, heads, epsilon).y;
}

/** One token: maps [B, 1, D] and a state [B, H, N, N] to y [B, 1, D] and the state after it. */
function composedStep({ s, ...inputs }: Inputs, heads: number, epsilon: number): { y: Tensor; s: Tensor } {
  const maps = inputs as unknown as Maps;
  const w = inputs as Weights;
  const [B, , D] = maps.r.shape as [number, number, number];
  const N = D / heads;
  const rule = ruleOf(maps, w, N);
  const own = (u: Tensor) => tf.reshape(u, [B, heads, N]);
  const { r, w_log, k, v, a, b } = rule;
  const token = { r: own(r), w: own(w_log), k: own(k), v: own(v), a: own(a), b: own(b) };
  const done = stepRule(s as Tensor4D, token);
  return { y: gated(tf.reshape(done.y, [B, 1, D]), rule, maps.gate, w, { heads, epsilon }), s: done.S };
}

const boundStep = bind(stepKernel, {
  replaces: (inputs, { heads, epsilon }) => composedStep(inputs, Number(heads), Number(epsilon)),
});

/** The maps of one token [B, 1, D] and the state s [B, H, N, N] before it to what the output projection takes, and the state after it. */
export function mixStep(
  context: Pick<StepContext<unknown>, 'decoding'>,
  maps: Maps,
  w: Weights,
  s: Tensor,
  { heads, epsilon }: { heads: number; epsilon: number },
): { y: Tensor; s: Tensor } {
  const inputs = { ...inputsOf(maps, w), s };
  if (!hasKernel(stepKernel.name)) return composedStep(inputs, heads, epsilon);
  return changeState(context, stepKernel.name, boundStep, inputs, { heads, epsilon }) as { y: Tensor; s: Tensor };
}
