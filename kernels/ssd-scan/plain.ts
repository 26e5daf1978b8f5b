// The state-space-dual scan as float64 loops, token by token: the recurrence and its adjoint.
import type { Arrays, Plain, Shapes } from '../core/kernel';

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

export const plain: Record<string, Plain> = { SsdScan: forward, SsdScanGrad: gradient };
