// The matrix memory in two equal forms: token by token, and in chunks that are quadratic inside.
import type { Tensor, Tensor2D, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { constant } from '../parts/constant';
import { plus } from '../parts/exponent';
import { logSigmoid } from '../parts/log_sigmoid';
import { type OuterInputs, type OuterOutputs, outerByOps } from '../parts/state_step';
import { alongAxis } from '../parts/tokens';

/** B sequences, H heads, T tokens, d channels a head. */
export interface Cell {
  /** Queries, keys (not yet divided by √d) and values [B, H, T, d]. */
  q: Tensor4D;
  k: Tensor4D;
  v: Tensor4D;
  /** Preactivations of the input and the forget gate [B, H, T]. */
  i: Tensor3D;
  f: Tensor3D;
}
export interface Gates {
  /** The forget gate is sigmoid(f) or exp(f). */
  forgetGate: 'sigmoid' | 'exp';
  /** Added to the denominator, at the stabilised scale. */
  eps: number;
}
/** What is kept between tokens, at the scale e^−m: memory c [B, H, d, d] by key and value channel, normaliser n [B, H, d], stabiliser m [B, H]. */
export interface Memory {
  c: Tensor4D;
  n: Tensor3D;
  m: Tensor2D;
}

// e^(−m) overflows float32 below m = −88, and 0·∞ in the gradient is not a number; from e^80 on the output is 0 anyway. The square of a
// denominator is divided by in the gradient, so without an eps it must not vanish either; no product of float32 is exact to e^−40.
const SMALLEST_EXPONENT = -40;
const LARGEST_EXPONENT = 80;
// Finite, since an infinite exponent is undefined in WGSL; e^(−1e30) is exactly 0 all the same.
const HIDDEN = -1e30;

const logForget = <T extends Tensor>(f: T, gate: Gates['forgetGate']): T => (gate === 'exp' ? f : logSigmoid(f));
/** e^−m, the smallest denominator: 1 before stabilisation. */
const floor = (m: Tensor): Tensor => tf.exp(tf.clipByValue(tf.neg(m), SMALLEST_EXPONENT, LARGEST_EXPONENT));

/** The memory before the first token. */
export const emptyMemory = (B: number, H: number, d: number): Memory => ({
  c: tf.zeros([B, H, d, d]),
  n: tf.zeros([B, H, d]),
  m: tf.zeros([B, H]),
});

/** One token: q, k, v [B, H, d], i and f [B, H]; to y [B, H, d] and the memory after it. `outer` decays, writes and reads the matrix. */
export function step(
  { c, n, m }: Memory,
  { q, k, v, i, f }: Record<'q' | 'k' | 'v' | 'i' | 'f', Tensor>,
  { forgetGate, eps }: Gates,
  outer: (inputs: OuterInputs) => OuterOutputs = outerByOps,
): { y: Tensor3D; memory: Memory } {
  const [B, H, d] = q.shape as [number, number, number];
  const remembered = plus(m, logForget(f, forgetGate));
  const next = tf.maximum(remembered.sum, i) as Tensor2D;
  const keep = tf.reshape(tf.mul(tf.exp(tf.sub(remembered.sum, next)), remembered.rest), [B, H, 1]);
  const write = tf.reshape(tf.exp(tf.sub(i, next)), [B, H, 1]);
  const key = tf.mul(tf.mul(k, 1 / Math.sqrt(d)), write);
  const { y: numerator, s } = outer({ s: c, q, k: key, v, keep });
  const memory = { c: s, n: tf.add(tf.mul(n, keep), key) as Tensor3D, m: next };
  const size = tf.abs(tf.sum(tf.mul(q, memory.n), 2)); // [B, H]
  const denominator = tf.add(tf.maximum(size, floor(next)), eps);
  return { y: tf.div(numerator, tf.expandDims(denominator, 2)), memory };
}

/** The equation as written, token by token from an empty memory. */
export function recurrent({ q, k, v, i, f }: Cell, gates: Gates): { y: Tensor4D; memory: Memory } {
  const [B, H, , d] = q.shape;
  let memory = emptyMemory(B, H, d);
  const lists = [q, k, v, i, f].map((u) => alongAxis(u, 2));
  const ys = lists[0].map((_, t) => {
    const [qt, kt, vt, it, ft] = lists.map((list) => list[t]);
    const done = step(memory, { q: qt, k: kt, v: vt, i: it, f: ft }, gates);
    memory = done.memory;
    return done.y;
  });
  return { y: tf.stack(ys, 2) as Tensor4D, memory };
}

/** Chunks of about equal length L, at most `most`, that hold T tokens. */
export function chunksOf(T: number, most: number): { n: number; L: number } {
  const n = Math.ceil(T / most);
  return { n, L: Math.ceil(T / n) };
}

/** [1, L, L] by row t and column j, as a constant. */
const square = (L: number, value: (t: number, j: number) => number): Tensor =>
  tf.tensor(
    Float32Array.from({ length: L * L }, (_, at) => value(Math.floor(at / L), at % L)),
    [1, L, L],
  );

/**
 * Σ_{j<k<=t} lf[k] at [t, j], from lf [R, L]: sums over the segment, added up from t backwards. Differences of one running sum would lose
 * digits under strong forgetting.
 */
function segments(lf: Tensor): Tensor {
  const [R, L] = lf.shape;
  const past = tf.mul(
    tf.reshape(lf, [R, 1, L]),
    square(L, (t, k) => Number(k <= t)),
  );
  return tf.cumsum(past, 2, true, true);
}

/**
 * The same in chunks of at most `chunk` tokens: weights of all pairs within each, the recurrence on whole memories between them; one chunk is
 * the parallel form. The stabilisers start from −∞ here, from 0 in decoding: y differs through eps alone.
 */
export function chunkwise({ q, k, v, i, f }: Cell, { forgetGate, eps }: Gates, { chunk = 64 } = {}): Tensor4D {
  const [B, H, T, d] = q.shape;
  const { n, L } = chunksOf(T, chunk);
  const R = B * H; // rows; chunks of a row are neighbours
  const padded = (u: Tensor, fill: number) => {
    const missing = n * L - T;
    const rest = u.shape.slice(3);
    return missing ? tf.concat([u, tf.fill([B, H, missing, ...rest], fill)], 2) : u;
  };
  const rows = (u: Tensor4D) => tf.reshape(padded(u, 0), [R * n, L, d]) as Tensor3D;
  const [queries, keys] = [rows(q), tf.mul(rows(k), 1 / Math.sqrt(d))];
  // Values with a one beside them: what is summed for it is the normaliser.
  const values = tf.concat([rows(v), tf.ones([R * n, L, 1])], 2) as Tensor3D;
  // A token of padding neither forgets nor writes.
  const lf = tf.reshape(padded(logForget(f, forgetGate), 0), [R * n, L]);
  // Gates above 1 go by a running sum: what all tokens share of it drops out, so weights and stabilisers below leave it out.
  const above = forgetGate === 'exp';
  const fading = above ? tf.minimum(lf, 0) : lf;
  const growth = above ? tf.cumsum(tf.relu(lf), 1) : tf.zeros([R * n, L]);
  const input = tf.reshape(tf.sub(tf.reshape(padded(i, HIDDEN), [R * n, L]), growth), [R * n, 1, L]);

  // Log weights of token j at token t, hidden before the maximum: a mask after exp would give 0·∞.
  const hidden = square(L, (t, j) => (j > t ? HIDDEN : 0));
  const weights = tf.add(tf.add(segments(fading), input), hidden); // [R·n, L, L]
  const largest = tf.max(weights, 2); // [R·n, L]
  if (n === 1) {
    return tf.reshape(read(within(constant(largest)), largest), [B, H, T, d]) as Tensor4D;
  }

  const perChunk = (u: Tensor) => alongAxis(tf.reshape(u, [R, n, ...u.shape.slice(1)]), 1);
  const lastOf = (u: Tensor) => tf.slice(u, [0, L - 1], [R * n, 1]); // of [R·n, L, …]
  // Stabilisers of the memories between chunks, before the growth of the chunk that is left and after it.
  const faded = tf.sum(fading, 1, true); // [R·n, 1]
  const forgotten = perChunk(faded); // [R, 1] each
  const strongest = perChunk(lastOf(largest));
  const grown = perChunk(lastOf(growth));
  const [before, left]: Tensor[][] = [[tf.fill([R, 1], HIDDEN)], []];
  for (let c = 0; c < n; c++) {
    left.push(tf.maximum(tf.add(before[c], forgotten[c]), strongest[c]));
    before.push(tf.add(left[c], grown[c]));
  }
  const ofChunks = (list: Tensor[]) => tf.reshape(tf.stack(list, 1), [R * n, 1]);
  const entered = ofChunks(before.slice(0, n));
  const after = constant(ofChunks(left));
  const running = tf.cumsum(fading, 1); // [R·n, L]
  const exact = tf.maximum(tf.add(running, entered), largest);
  const m = constant(exact);

  // What a chunk adds to the memory, and what is kept of the one before.
  const writes = tf.exp(tf.sub(tf.reshape(lastOf(weights), [R * n, L]), after));
  const added = perChunk(tf.matMul(tf.mul(keys, tf.expandDims(writes, 2)), values, true)); // [R, d, d+1] each
  const known = constant(entered);
  const kept = perChunk(tf.exp(tf.sub(tf.add(faded, known), after))); // [R, 1] each
  // 1, with the gradient of the growth: the stabilisers that took it in are constants.
  const regrown = grown.map((u) => tf.exp(tf.sub(u, constant(u))));
  let memory: Tensor = tf.zeros([R, d, d + 1]);
  const memories: Tensor[] = [];
  for (let c = 0; c < n; c++) {
    memories.push(memory);
    memory = tf.add(tf.mul(memory, tf.expandDims(kept[c], 2)), added[c]);
    if (above) memory = tf.mul(memory, tf.expandDims(regrown[c], 2));
  }
  const entering = tf.reshape(tf.stack(memories, 1), [R * n, d, d + 1]) as Tensor3D;
  const recall = tf.exp(tf.sub(tf.add(running, known), m)); // [R·n, L]
  const recalled = tf.mul(tf.matMul(queries, entering), tf.expandDims(recall, 2));
  const y = tf.reshape(read(tf.add(within(m), recalled), exact), [B, H, n * L, d]);
  return (n * L === T ? y : tf.slice(y, [0, 0, 0, 0], [B, H, T, d])) as Tensor4D;

  /** Sums [R·n, L, d+1] over the tokens of the same chunk. */
  function within(m: Tensor): Tensor {
    const scores = tf.matMul(queries, keys, false, true);
    const pairs = tf.mul(scores, tf.exp(tf.sub(weights, tf.expandDims(m, 2)))) as Tensor3D;
    return tf.matMul(pairs, values);
  }
  /** Sums [R·n, L, d+1] at the scale of a stabiliser [R·n, L] to outputs [R·n, L, d]. They depend on the stabiliser through eps alone. */
  function read(sums: Tensor, stabiliser: Tensor): Tensor {
    const [numerator, normaliser] = tf.split(sums, [d, 1], 2);
    const m = constant(stabiliser);
    const size = tf.maximum(tf.abs(normaliser), tf.expandDims(floor(tf.add(m, growth)), 2));
    const small = tf.mul(tf.exp(tf.sub(stabiliser, m)), eps); // eps
    return tf.div(numerator, tf.add(size, tf.expandDims(small, 2)));
  }
}
