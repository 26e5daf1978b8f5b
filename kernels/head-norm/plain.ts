// Layer normalisation of each head, skip and gate as float64 loops.
import { type Arrays, type Attrs, type Plain, type Shapes, sizeOf } from '../core/kernel';

const sigmoid = (u: number): number => 1 / (1 + Math.exp(-u));

function sizes({ x }: Shapes, { heads }: Attrs) {
  const D = x[x.length - 1];
  return { rows: sizeOf(x.slice(0, -1)), D, H: Number(heads), d: D / Number(heads) };
}
/** Before the gate, for number i of x. */
function sum({ weight, bias, skip, side }: Arrays, normed: number, i: number, D: number): number {
  return normed * weight[i % D] + (bias?.[i % D] ?? 0) + (skip ? skip[i % D] * side[i] : 0);
}

const forward: Plain = (inputs, shapes, attrs) => {
  const { x, gate } = inputs;
  const { rows, D, H, d } = sizes(shapes, attrs);
  const y = new Float64Array(x.length);
  const [mean, rstd] = [new Float64Array(rows * H), new Float64Array(rows * H)];
  for (let g = 0; g < rows * H; g++) {
    const part = x.subarray(g * d, (g + 1) * d);
    mean[g] = part.reduce((a, b) => a + b, 0) / d;
    rstd[g] = 1 / Math.sqrt(part.reduce((a, b) => a + (b - mean[g]) ** 2, 0) / d + Number(attrs.epsilon));
    for (let i = g * d; i < (g + 1) * d; i++)
      y[i] = sum(inputs, (x[i] - mean[g]) * rstd[g], i, D) * (gate ? gate[i] * sigmoid(gate[i]) : 1);
  }
  return { y, mean, rstd };
};

const gradient: Plain = (inputs, shapes, attrs) => {
  const { x, weight, bias, skip, side, gate, mean, rstd, dy } = inputs;
  const { rows, D, H, d } = sizes(shapes, attrs);
  const like = (u: Float64Array | undefined) => new Float64Array(u?.length ?? 0);
  const [dx, dweight, dbias, dskip, dside, dgate] = [x, weight, bias, skip, side, gate].map(like);
  for (let g = 0; g < rows * H; g++) {
    let [total, along] = [0, 0]; // Σ dn, Σ dn · normed
    const dn = new Float64Array(d);
    for (let j = 0; j < d; j++) {
      const i = g * d + j;
      const normed = (x[i] - mean[g]) * rstd[g];
      const slope = dy[i] * (gate ? gate[i] * sigmoid(gate[i]) : 1);
      if (gate) {
        const open = sigmoid(gate[i]);
        dgate[i] = dy[i] * sum(inputs, normed, i, D) * open * (1 + gate[i] * (1 - open));
      }
      dweight[i % D] += slope * normed;
      if (bias) dbias[i % D] += slope;
      if (skip) {
        dskip[i % D] += slope * side[i];
        dside[i] = slope * skip[i % D];
      }
      dn[j] = slope * weight[i % D];
      total += dn[j];
      along += dn[j] * normed;
    }
    for (let j = 0; j < d; j++) {
      const i = g * d + j;
      dx[i] = rstd[g] * (dn[j] - total / d - ((x[i] - mean[g]) * rstd[g] * along) / d);
    }
  }
  return { dx, dweight, dbias, dskip, dside, dgate };
};

export const plain: Record<string, Plain> = { HeadNorm: forward, HeadNormGrad: gradient };
