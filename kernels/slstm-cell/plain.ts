// The scalar memory of xLSTM as float64 loops, token by token, and its adjoint.
import type { Arrays, Plain, Shapes } from '../core/kernel';
import { KEPT } from './sizes';

const sigmoid = (x: number) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const logSigmoid = (x: number) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));

function layout(i: readonly number[], { r }: Shapes) {
  const [batch, T, D] = i;
  const [, H, d] = r;
  return {
    batch,
    T,
    D,
    H,
    d,
    at: (b: number, t: number) => (b * T + t) * D,
    /** Weight from channel `from` to channel `to` of head h for gate g. */
    weight: (g: number, h: number, from: number, to: number) => ((g * H + h) * d + from) * d + to,
  };
}

const forward: Plain = (inputs, shapes) => {
  const { batch, T, D, H, d, at, weight } = layout(shapes.i, shapes);
  const { r, b: bias } = inputs;
  const gates = [inputs.i, inputs.f, inputs.z, inputs.o];
  const y = new Float64Array(batch * T * D);
  const kept = new Float64Array(batch * T * KEPT * D);
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < H; h++) {
      const [c, n, m] = [new Float64Array(d), new Float64Array(d), new Float64Array(d)];
      for (let t = 0; t < T; t++)
        for (let j = 0; j < d; j++) {
          const k = at(b, t) + h * d + j;
          const [ai, af, az, ao] = gates.map((gate, g) => {
            let sum = gate[k] + bias[g * D + h * d + j];
            if (t > 0) for (let l = 0; l < d; l++) sum += y[at(b, t - 1) + h * d + l] * r[weight(g, h, l, j)];
            return sum;
          });
          const remembered = logSigmoid(af) + m[j];
          m[j] = t > 0 ? Math.max(ai, remembered) : ai;
          const write = Math.exp(ai - m[j]);
          const keep = t > 0 ? Math.exp(remembered - m[j]) : 0;
          const [z, o] = [Math.tanh(az), sigmoid(ao)];
          const [past, mean] = [keep * n[j], t > 0 ? c[j] / n[j] : 0];
          c[j] = keep * c[j] + write * z;
          n[j] = past + write;
          y[k] = (o * c[j]) / n[j];
          const share = write / n[j];
          [share, past / n[j], sigmoid(-af), share * (z - mean), share * (1 - z ** 2), ao].forEach((value, which) => {
            kept[((b * T + t) * KEPT + which) * D + h * d + j] = value;
          });
        }
    }
  return { y, kept };
};

const gradient: Plain = ({ r, y, kept, dy }, shapes) => {
  const { batch, T, D, H, d, at, weight } = layout(shapes.y, shapes);
  const slopes = [0, 1, 2, 3].map(() => new Float64Array(y.length));
  const dr = new Float64Array(r.length);
  const db = new Float64Array(4 * D);
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < H; h++) {
      const [dmean, dweight] = [new Float64Array(d), new Float64Array(d)]; // of cell / normaliser, and of the normaliser's logarithm
      let dh = new Float64Array(d);
      for (let t = T - 1; t >= 0; t--) {
        for (let j = 0; j < d; j++) {
          const k = at(b, t) + h * d + j;
          const read = (which: number) => kept[((b * T + t) * KEPT + which) * D + h * d + j];
          const [share, past, open, move, bent, ao] = [0, 1, 2, 3, 4, 5].map(read);
          const o = sigmoid(ao);
          const g = dh[j] + dy[k];
          dmean[j] += g * o;
          slopes[0][k] = dweight[j] * share + dmean[j] * past * move;
          slopes[2][k] = dmean[j] * bent;
          slopes[3][k] = g * y[k] * (1 - o);
          dweight[j] = past * (dweight[j] - dmean[j] * move);
          dmean[j] *= past;
          slopes[1][k] = dweight[j] * open;
        }
        dh = new Float64Array(d);
        for (let g = 0; g < 4; g++)
          for (let j = 0; j < d; j++) {
            const slope = slopes[g][at(b, t) + h * d + j];
            db[g * D + h * d + j] += slope;
            if (t > 0)
              for (let l = 0; l < d; l++) {
                dr[weight(g, h, l, j)] += y[at(b, t - 1) + h * d + l] * slope;
                dh[l] += slope * r[weight(g, h, l, j)];
              }
          }
      }
    }
  const [di, df, dz, dO] = slopes;
  return { di, df, dz, do: dO, dr, db } as Arrays;
};

const MAPS = ['w_i', 'w_f', 'w_z', 'w_o'];
/** The maps' input: gates i and f read c, z and o read x. */
const from = (g: number): string => (g < 2 ? 'c' : 'x');

/** Calls with(g, k, l, w) for channel k out and l in of each gate and token, and the place w of their weight. */
function eachWeight({ r, c }: Shapes, visit: (g: number, k: number, l: number, w: number) => void): void {
  const [, H, d] = r;
  const D = H * d;
  for (let token = 0; token < c[0] * c[1]; token++)
    for (let g = 0; g < 4; g++)
      for (let k = 0; k < D; k++)
        for (let at = 0; at < d; at++) {
          const l = Math.floor(k / d) * d + at;
          visit(g, token * D + k, token * D + l, l * d + (k % d));
        }
}

const cellShapes = (shapes: Shapes): Shapes => ({ ...shapes, i: shapes.c, y: shapes.c });

/** Kept numbers [b, T, KEPT, H, d] to [b, T, H, KEPT, d], or back. */
function byHead(kept: Float64Array, [, H, d]: readonly number[], back = false): Float64Array {
  const turned = new Float64Array(kept.length);
  for (let i = 0; i < kept.length; i++) {
    const [token, which, rest] = [Math.floor(i / (KEPT * H * d)), Math.floor(i / (H * d)) % KEPT, i % (H * d)];
    const other = ((token * H + Math.floor(rest / d)) * KEPT + which) * d + (rest % d);
    if (back) turned[i] = kept[other];
    else turned[other] = kept[i];
  }
  return turned;
}

const mapped: Plain = (inputs, shapes) => {
  const gates = MAPS.map(() => new Float64Array(inputs.c.length));
  eachWeight(shapes, (g, k, l, w) => {
    gates[g][k] += inputs[from(g)][l] * inputs[MAPS[g]][w];
  });
  const [i, f, z, o] = gates;
  const { y, kept } = forward({ ...inputs, i, f, z, o }, cellShapes(shapes), {});
  return { y, kept: byHead(kept, shapes.r) };
};

const mappedGradient: Plain = (inputs, shapes) => {
  const kept = byHead(inputs.kept, shapes.r, true);
  const { dr, db, ...slopes } = gradient({ ...inputs, kept }, cellShapes(shapes), {});
  const gates = [slopes.di, slopes.df, slopes.dz, slopes.do];
  const result: Arrays = { dc: new Float64Array(inputs.c.length), dx: new Float64Array(inputs.x.length), dr, db };
  for (const name of MAPS) result[`d${name}`] = new Float64Array(inputs[name].length);
  eachWeight(shapes, (g, k, l, w) => {
    result[`d${from(g)}`][l] += gates[g][k] * inputs[MAPS[g]][w];
    result[`d${MAPS[g]}`][w] += gates[g][k] * inputs[from(g)][l];
  });
  return result;
};

export const plain: Record<string, Plain> = {
  SlstmCell: forward,
  SlstmCellGrad: gradient,
  MappedSlstm: mapped,
  MappedSlstmGrad: mappedGradient,
};
