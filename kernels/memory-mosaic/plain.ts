// Keys and values of Memory Mosaics as float64 loops.
import type { Arrays, Plain, Shapes } from '../core/kernel';

const TINY = 1e-30;
const LONGEST = Math.log(65535);

/** Calls `each` with the place of every head of every token, in order of time. */
function walk({ u }: Shapes, each: (at: number, h: number, t: number) => void, backwards = false): void {
  const [B, T, H, d] = u;
  for (let b = 0; b < B; b++)
    for (let i = 0; i < T; i++) {
      const t = backwards ? T - 1 - i : i;
      for (let h = 0; h < H; h++) each(((b * T + t) * H + h) * d, h, t);
    }
}
const lengthOf = (u: Float64Array, at: number, d: number) =>
  Math.sqrt(u.subarray(at, at + d).reduce((sum, x) => sum + x * x, TINY));

/** u / (|u| + epsilon) times the head's length. */
function toLength(u: Float64Array, shapes: Shapes, lengths: number[], epsilon: number): Float64Array {
  const out = new Float64Array(u.length);
  const d = shapes.u[3];
  walk(shapes, (at, h) => {
    const length = lengthOf(u, at, d) + epsilon;
    for (let c = at; c < at + d; c++) out[c] = (lengths[h] * u[c]) / length;
  });
  return out;
}
/** Its gradient: of u, and Σ out · slope of each head. */
function toLengthGrad(u: Float64Array, slope: Float64Array, shapes: Shapes, lengths: number[], epsilon: number) {
  const du = new Float64Array(u.length);
  const sums = new Float64Array(lengths.length);
  const d = shapes.u[3];
  walk(shapes, (at, h) => {
    const length = lengthOf(u, at, d);
    let dot = 0;
    for (let c = at; c < at + d; c++) dot += u[c] * slope[c];
    sums[h] += (lengths[h] * dot) / (length + epsilon);
    for (let c = at; c < at + d; c++)
      du[c] = lengths[h] * (slope[c] / (length + epsilon) - (u[c] * dot) / (length * (length + epsilon) ** 2));
  });
  return { du, sums };
}

const keeps = ({ leak }: Arrays, raw: number) => [...leak].map((x) => Math.exp(-raw * Math.abs(x)));
function leakySums({ u, leak }: Arrays, shapes: Shapes, raw: number): Float64Array {
  const a = u.slice();
  const [, , H, d] = shapes.u;
  const keep = keeps({ leak }, raw);
  walk(shapes, (at, h, t) => {
    if (t > 0) for (let c = at; c < at + d; c++) a[c] += keep[h] * a[c - H * d];
  });
  return a;
}
function mixtures({ u, mix }: Arrays, shapes: Shapes): Float64Array {
  const [, T, H, d] = shapes.u;
  const m = new Float64Array(u.length);
  walk(shapes, (at, h, t) => {
    if (t < T - 1) for (let c = at; c < at + d; c++) m[c] = mix[h] * u[c] + (1 - mix[h]) * u[c + H * d];
  });
  return m;
}

export const plain: Record<string, Plain> = {
  LeakyKeys(inputs, shapes, attrs) {
    const { rawScaling: raw, epsilon, power = 1 } = attrs as Record<string, number>;
    const lengths = [...inputs.scale].map((x) => Math.exp(Math.min(power * raw * x, LONGEST)));
    return { k: toLength(leakySums(inputs, shapes, raw), shapes, lengths, epsilon) };
  },
  LeakyKeysGrad(inputs, shapes, attrs) {
    const { rawScaling: raw, epsilon, power = 1 } = attrs as Record<string, number>;
    const [, T, H, d] = shapes.u;
    const exponents = [...inputs.scale].map((x) => power * raw * x);
    const lengths = exponents.map((x) => Math.exp(Math.min(x, LONGEST)));
    const a = leakySums(inputs, shapes, raw);
    const { du, sums } = toLengthGrad(a, inputs.dk, shapes, lengths, epsilon);
    const keep = keeps(inputs, raw);
    const dleak = new Float64Array(H);
    walk(
      shapes,
      (at, h, t) => {
        for (let c = at; c < at + d; c++) {
          if (t < T - 1) du[c] += keep[h] * du[c + H * d];
          if (t > 0) dleak[h] -= raw * Math.sign(inputs.leak[h]) * keep[h] * du[c] * a[c - H * d];
        }
      },
      true,
    );
    return { du, dleak, dscale: sums.map((x, h) => (exponents[h] <= LONGEST ? power * raw * x : 0)) };
  },
  MixedValues(inputs, shapes, attrs) {
    const { rawScaling: raw, epsilon } = attrs as Record<string, number>;
    const lengths = [...inputs.scale].map((x) => Math.exp(raw * x));
    return { v: toLength(mixtures(inputs, shapes), shapes, lengths, epsilon) };
  },
  MixedValuesGrad(inputs, shapes, attrs) {
    const { rawScaling: raw, epsilon } = attrs as Record<string, number>;
    const [, T, H, d] = shapes.u;
    const { u, mix } = inputs;
    const lengths = [...inputs.scale].map((x) => Math.exp(raw * x));
    const slope = inputs.dv.slice();
    walk(shapes, (at, _, t) => {
      if (t === T - 1) slope.fill(0, at, at + d);
    });
    const { du: dm, sums } = toLengthGrad(mixtures(inputs, shapes), slope, shapes, lengths, epsilon);
    const du = new Float64Array(u.length);
    const dmix = new Float64Array(H);
    walk(shapes, (at, h, t) => {
      for (let c = at; c < at + d; c++) {
        du[c] += mix[h] * dm[c];
        if (t === T - 1) continue;
        du[c + H * d] += (1 - mix[h]) * dm[c];
        dmix[h] += dm[c] * (u[c] - u[c + H * d]);
      }
    });
    return { du, dmix, dscale: sums.map((x) => raw * x) };
  },
};
