// The state-space-dual scan as float64 loops, token by token: the recurrence and its adjoint.
import type { Arrays, Attrs, Plain, Shapes } from '../core/kernel';
import { convolved, convolvedSlopes } from './plain_conv';

/** Index functions and sizes of one call. */
function layout({ x, B }: Shapes) {
  const [batch, T, H, P] = x;
  const [, , G, N] = B;
  return {
    batch,
    T,
    H,
    P,
    N,
    chunks: Math.ceil(T / 64),
    step: (b: number, t: number, h: number) => (b * T + t) * H + h,
    map: (b: number, t: number, h: number) => ((b * T + t) * G + Math.floor((h * G) / H)) * N,
  };
}

/** Runs the recurrence of every row and head; `each` sees S before and after each token ([P, N]). */
function run(
  inputs: Arrays,
  shapes: Shapes,
  each: (at: { b: number; t: number; h: number; before: Float64Array; after: Float64Array }) => void,
): Float64Array {
  const { batch, T, H, P, N, step, map } = layout(shapes);
  const final = new Float64Array(batch * H * P * N);
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < H; h++) {
      const first = (b * H + h) * P * N;
      let state = inputs.initialState?.slice(first, first + P * N) ?? new Float64Array(P * N);
      for (let t = 0; t < T; t++) {
        const i = step(b, t, h);
        const dt = inputs.dt[i];
        const keep = Math.exp(dt * inputs.A[h]);
        const after = new Float64Array(P * N);
        for (let p = 0; p < P; p++)
          for (let n = 0; n < N; n++)
            after[p * N + n] = keep * state[p * N + n] + dt * inputs.x[i * P + p] * inputs.B[map(b, t, h) + n];
        each({ b, t, h, before: state, after });
        state = after;
      }
      final.set(state, first);
    }
  return final;
}

const forward: Plain = (inputs, shapes) => {
  const { batch, H, P, N, chunks, step, map } = layout(shapes);
  const y = new Float64Array(inputs.x.length);
  const chunkStates = new Float64Array(batch * H * chunks * N * P);
  const finalState = run(inputs, shapes, ({ b, t, h, before, after }) => {
    const i = step(b, t, h);
    for (let p = 0; p < P; p++) {
      y[i * P + p] = (inputs.D?.[h] ?? 0) * inputs.x[i * P + p];
      for (let n = 0; n < N; n++) y[i * P + p] += after[p * N + n] * inputs.C[map(b, t, h) + n];
    }
    if (t % 64 === 0)
      for (let p = 0; p < P; p++)
        for (let n = 0; n < N; n++) chunkStates[(((b * H + h) * chunks + t / 64) * N + n) * P + p] = before[p * N + n];
  });
  return { y, finalState, chunkStates };
};

const gradient: Plain = (inputs, shapes) => {
  const { batch, T, H, P, N, chunks, step, map } = layout(shapes);
  const { x, dt, A, B, C, D, dy } = inputs;
  const dx = new Float64Array(x.length);
  const ddt = new Float64Array(dt.length);
  const dA = new Float64Array(H);
  const dB = new Float64Array(B.length);
  const dC = new Float64Array(C.length);
  const dD = new Float64Array(H);
  const dinitialState = new Float64Array(batch * H * P * N);
  // The first chunk's entering state is the initial state, so the gradient needs no input of that name.
  const initialState = new Float64Array(batch * H * P * N);
  for (let r = 0; r < batch * H; r++)
    for (let p = 0; p < P; p++)
      for (let n = 0; n < N; n++) initialState[(r * P + p) * N + n] = inputs.chunkStates[(r * chunks * N + n) * P + p];
  const states: { before: Float64Array; after: Float64Array }[] = [];
  run({ ...inputs, initialState }, shapes, (at) => states.push(at));
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < H; h++) {
      const first = (b * H + h) * P * N;
      const dS = inputs.dfinalState.slice(first, first + P * N);
      for (let t = T - 1; t >= 0; t--) {
        const i = step(b, t, h);
        const at = map(b, t, h);
        const { before, after } = states[(b * H + h) * T + t];
        const keep = Math.exp(dt[i] * A[h]);
        for (let p = 0; p < P; p++) {
          dx[i * P + p] += (D?.[h] ?? 0) * dy[i * P + p];
          dD[h] += dy[i * P + p] * x[i * P + p];
          for (let n = 0; n < N; n++) {
            dC[at + n] += dy[i * P + p] * after[p * N + n];
            dS[p * N + n] += dy[i * P + p] * C[at + n];
            const g = dS[p * N + n];
            dx[i * P + p] += g * dt[i] * B[at + n];
            dB[at + n] += g * dt[i] * x[i * P + p];
            ddt[i] += g * (x[i * P + p] * B[at + n] + A[h] * keep * before[p * N + n]);
            dA[h] += g * dt[i] * keep * before[p * N + n];
            dS[p * N + n] = g * keep;
          }
        }
      }
      dinitialState.set(dS, first);
    }
  return { dx, ddt, dA, dB, dC, dD, dinitialState };
};

/** Columns `from` .. `to` of u [rows, width], the tokens of each sequence of T turned round where `back`. */
function columns(u: Float64Array, width: number, from: number, to: number, T: number, back = false): Float64Array {
  const rows = u.length / width;
  const part = new Float64Array(rows * (to - from));
  for (let r = 0; r < rows; r++)
    part.set(u.subarray(turn(r, T, back) * width + from, turn(r, T, back) * width + to), r * (to - from));
  return part;
}
const turn = (row: number, T: number, back: boolean): number => (back ? row - (row % T) + (T - 1 - (row % T)) : row);

/** Adds `part` into the columns that it came from. */
function into(u: Float64Array, width: number, from: number, part: Float64Array, T: number, back = false) {
  const rows = u.length / width;
  const span = part.length / rows;
  for (let r = 0; r < rows; r++)
    for (let j = 0; j < span; j++) u[turn(r, T, back) * width + from + j] += part[r * span + j];
}

/** What SsdScan takes for values and two maps out of mixed [b, T, width]; `first` is the index of the maps. */
function scanOf(
  mixed: Float64Array,
  [b, T, width]: readonly number[],
  dt: readonly number[],
  attrs: Attrs,
  first: number,
  back = false,
) {
  const [G, N, H] = [Number(attrs.groups), Number(attrs.state), dt[2]];
  const maps = attrs.both ? 4 : 2;
  const inner = width - maps * G * N;
  const at = (map: number) => inner + map * G * N;
  const take = (from: number, to: number) => columns(mixed, width, from, to, T, back);
  const inputs = { x: take(0, inner), B: take(at(first), at(first + 1)), C: take(at(first + 1), at(first + 2)) };
  const shapes = { x: [b, T, H, inner / H], dt, B: [b, T, G, N], C: [b, T, G, N], A: [H] };
  return { inputs, shapes, at, inner };
}

const packed: Plain = ({ mixed, dt, A, D }, shapes, attrs) => {
  const { inputs, shapes: inner } = scanOf(mixed, shapes.mixed, shapes.dt, attrs, 0);
  const { y, chunkStates } = forward({ ...inputs, dt, A, ...(D && { D }) }, inner, {});
  return { y, chunkStates };
};
const packedGrad: Plain = ({ mixed, dt, A, D, chunkStates, dy }, shapes, attrs) => {
  const { inputs, shapes: inner, at } = scanOf(mixed, shapes.mixed, shapes.dt, attrs, 0);
  const [b, T, H, P] = inner.x;
  const dfinalState = new Float64Array(b * H * P * inner.B[3]);
  const done = gradient({ ...inputs, dt, A, ...(D && { D }), chunkStates, dy, dfinalState }, inner, {});
  const dmixed = new Float64Array(mixed.length);
  const width = shapes.mixed[2];
  into(dmixed, width, 0, done.dx, T);
  into(dmixed, width, at(0), done.dB, T);
  into(dmixed, width, at(1), done.dC, T);
  return { dmixed, ddt: done.ddt, dA: done.dA, dD: done.dD };
};

/** u [b, T, width] later by one token (by = 1) or earlier (by = −1), zeros where none was. */
function moved(u: Float64Array, T: number, width: number, by: 1 | -1): Float64Array {
  const to = new Float64Array(u.length);
  for (let r = 0; r < u.length / width; r++) {
    const t = (r % T) + by;
    if (t >= 0 && t < T) to.set(u.subarray(r * width, (r + 1) * width), (r + by) * width);
  }
  return to;
}

const both: Plain = ({ mixed, ahead, back, A, D, w_D }, shapes, given) => {
  const attrs = { ...given, both: true };
  const [, T, H] = shapes.ahead;
  const one = scanOf(mixed, shapes.mixed, shapes.ahead, attrs, 0);
  const two = scanOf(mixed, shapes.mixed, shapes.ahead, attrs, 2, true);
  const inner = one.inner;
  const first = forward({ ...one.inputs, dt: ahead, A }, one.shapes, {});
  const second = forward({ ...two.inputs, dt: columns(back, H, 0, H, T, true), A }, two.shapes, {});
  const own = Float64Array.from({ length: ahead.length }, (_, i) => D[i % H]);
  for (let i = 0; i < own.length * inner; i++) {
    const [at, e] = [Math.floor(i / inner), i % inner];
    own[at] += one.inputs.x[Math.floor(at / H) * inner + e] * w_D[e * H + (at % H)];
  }
  const y = one.inputs.x.map((x, i) => x * own[Math.floor(i / (inner / H))]);
  into(y, inner, 0, moved(first.y, T, inner, 1), T);
  into(y, inner, 0, moved(second.y, T, inner, 1), T, true);
  return { y, aheadStates: first.chunkStates, backStates: second.chunkStates, own };
};
const bothGrad: Plain = ({ mixed, ahead, back, A, w_D, aheadStates, backStates, own, dy }, shapes, given) => {
  const attrs = { ...given, both: true };
  const [, T, H] = shapes.ahead;
  const width = shapes.mixed[2];
  const dmixed = new Float64Array(mixed.length);
  const slopes = ([0, 2] as const).map((first) => {
    const turned = first === 2;
    const { inputs, shapes: sizes, at, inner } = scanOf(mixed, shapes.mixed, shapes.ahead, attrs, first, turned);
    const [b, , , P] = sizes.x;
    const feed = {
      ...inputs,
      dt: turned ? columns(back, H, 0, H, T, true) : ahead,
      A,
      chunkStates: turned ? backStates : aheadStates,
      dy: moved(columns(dy, inner, 0, inner, T, turned), T, inner, -1),
      dfinalState: new Float64Array(b * H * P * sizes.B[3]),
    };
    const done = gradient(feed, sizes, {});
    into(dmixed, width, 0, done.dx, T, turned);
    into(dmixed, width, at(first), done.dB, T, turned);
    into(dmixed, width, at(first + 1), done.dC, T, turned);
    return { dt: columns(done.ddt, H, 0, H, T, turned), dA: done.dA, x: columns(mixed, width, 0, inner, T), P };
  });
  const { x, P } = slopes[0];
  const down = new Float64Array(own.length);
  for (let i = 0; i < x.length; i++) down[Math.floor(i / P)] += dy[i] * x[i];
  const dx = dy.map((g, i) => g * own[Math.floor(i / P)]);
  const dw_D = new Float64Array(w_D.length);
  for (let i = 0; i < x.length; i++) {
    const [token, e] = [Math.floor(i / (H * P)), i % (H * P)];
    for (let h = 0; h < H; h++) {
      dx[i] += down[token * H + h] * w_D[e * H + h];
      dw_D[e * H + h] += down[token * H + h] * x[i];
    }
  }
  into(dmixed, width, 0, dx, T);
  return {
    dmixed,
    dahead: slopes[0].dt,
    dback: slopes[1].dt,
    dA: slopes[0].dA.map((a, h) => a + slopes[1].dA[h]),
    dD: Float64Array.from({ length: H }, (_, h) => down.reduce((sum, g, i) => (i % H === h ? sum + g : sum), 0)),
    dw_D,
  };
};

/** The states that enter each chunk, of which the gradients above read those before the first token: nothing. */
const noStates = ({ mixed: [b, T, width] }: Shapes, { state }: Attrs) =>
  new Float64Array(b * Math.ceil(T / 64) * width * Number(state));
const without =
  (from: Plain, ...names: string[]): Plain =>
  (inputs, shapes, attrs) =>
    Object.fromEntries(Object.entries(from(inputs, shapes, attrs)).filter(([name]) => !names.includes(name)));

export const plain: Record<string, Plain> = {
  ConvScan: (inputs, shapes, attrs) => ({
    y: packed({ ...inputs, mixed: convolved(inputs, shapes) }, shapes, attrs).y,
  }),
  ConvScanGrad(inputs, shapes, attrs) {
    const chunkStates = noStates(shapes, attrs);
    const feed = { ...inputs, mixed: convolved(inputs, shapes), chunkStates };
    const { dmixed, ...rest } = packedGrad(feed, shapes, attrs);
    return { ...convolvedSlopes(inputs, shapes, dmixed), ...rest };
  },
  WholeQuasiseparable: without(both, 'aheadStates', 'backStates'),
  WholeQuasiseparableGrad(inputs, shapes, attrs) {
    const none = noStates(shapes, attrs);
    return bothGrad({ ...inputs, aheadStates: none, backStates: none }, shapes, attrs);
  },
  SsdScan: forward,
  SsdScanGrad: gradient,
  PackedScan: packed,
  PackedScanGrad: packedGrad,
  Quasiseparable: both,
  QuasiseparableGrad: bothGrad,
};
