// RMSNorm and its gated form as float64 loops.
import { type Arrays, type Attrs, type Plain, type Shapes, sizeOf } from '../core/kernel';

const sigmoid = (u: number): number => 1 / (1 + Math.exp(-u));

/** Calls `each(row, group, first, past)` for the channels `first..past-1` (flat indices into x) that share a root mean square. */
function eachGroup(shapes: Shapes, attrs: Attrs, each: (index: number, first: number, past: number) => void): number {
  const width = shapes.x[shapes.x.length - 1];
  const groups = Number(attrs.groups ?? 1);
  const size = width / groups;
  const count = (sizeOf(shapes.x) / width) * groups;
  for (let index = 0; index < count; index++) each(index, index * size, (index + 1) * size);
  return width;
}

const forward: Plain = (inputs, shapes, attrs) => {
  const { x, gate, weight } = inputs;
  const gateFirst = attrs.gateFirst === true;
  const width = shapes.x[shapes.x.length - 1];
  const y = new Float64Array(x.length);
  const rstd = new Float64Array((x.length / width) * Number(attrs.groups ?? 1));
  const silu = (i: number) => (gate ? gate[i] * sigmoid(gate[i]) : 1);
  eachGroup(shapes, attrs, (index, first, past) => {
    let sum = 0;
    for (let i = first; i < past; i++) sum += (x[i] * (gateFirst ? silu(i) : 1)) ** 2;
    rstd[index] = 1 / Math.sqrt(sum / (past - first) + Number(attrs.epsilon));
    for (let i = first; i < past; i++) y[i] = x[i] * silu(i) * rstd[index] * weight[i % width];
  });
  return { y, rstd };
};

const gradient: Plain = (inputs, shapes, attrs) => {
  const { x, gate, weight, rstd, dy } = inputs;
  const gateFirst = attrs.gateFirst === true;
  const width = shapes.x[shapes.x.length - 1];
  const dx = new Float64Array(x.length);
  const dgate = new Float64Array(x.length);
  const dweight = new Float64Array(width);
  eachGroup(shapes, attrs, (index, first, past) => {
    const r = rstd[index];
    const open = (i: number) => (gate ? gate[i] * sigmoid(gate[i]) : 1);
    const slope = (i: number) => sigmoid(gate[i]) * (1 + gate[i] * (1 - sigmoid(gate[i])));
    const normed = (i: number) => x[i] * (gateFirst ? open(i) : 1); // what is normalised
    const arriving = (i: number) => dy[i] * (gateFirst ? 1 : open(i)) * weight[i % width]; // gradient of normed · rstd
    let dot = 0;
    for (let i = first; i < past; i++) dot += arriving(i) * normed(i);
    for (let i = first; i < past; i++) {
      const du = r * arriving(i) - ((normed(i) * r ** 3) / (past - first)) * dot;
      dweight[i % width] += dy[i] * x[i] * open(i) * r;
      dx[i] = du * (gateFirst ? open(i) : 1);
      if (gate) dgate[i] = slope(i) * (gateFirst ? du * x[i] : dy[i] * weight[i % width] * x[i] * r);
    }
  });
  const out: Arrays = { dx, dweight };
  return gate ? { ...out, dgate } : out;
};

const added: Plain = ({ x, y, weight }, { x: shape, weight: width }, attrs) => {
  const sum = x.map((u, i) => u + y[i]);
  const { y: u, rstd } = forward({ x: sum, weight }, { x: shape, weight: width }, attrs);
  return { sum, u, rstd };
};

const addedGradient: Plain = ({ weight, sum, rstd, dsum, du }, { sum: shape, weight: width }, attrs) => {
  const { dx, dweight } = gradient({ x: sum, weight, rstd, dy: du }, { x: shape, weight: width }, attrs);
  return { dx: dx.map((slope, i) => slope + dsum[i]), dweight };
};

export const plain: Record<string, Plain> = {
  RmsNorm: forward,
  RmsNormGrad: gradient,
  AddRmsNorm: added,
  AddRmsNormGrad: addedGradient,
  GatedRmsNorm: forward,
  GatedRmsNormGrad: gradient,
};
