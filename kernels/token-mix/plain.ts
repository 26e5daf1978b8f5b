// Blends of each token with the one before it, as float64 loops.
import type { Arrays, Attrs, Plain, Shapes } from '../core/kernel';
import { COUNTS } from './kernel';

const sharesOf = (shapes: Shapes): string[] => Object.keys(shapes).filter((name) => /^w\d$/.test(name));

/** Visits every number of x with that of the token before it, the place of that one (below 0 where it is not in x), and the channel. */
function visit(
  { x, before }: Arrays,
  { x: [B, T, D] }: Shapes,
  each: (at: { i: number; now: number; past: number; from: number; j: number }) => void,
): void {
  for (let b = 0; b < B; b++)
    for (let t = 0; t < T; t++)
      for (let j = 0; j < D; j++) {
        const i = (b * T + t) * D + j;
        const from = t > 0 ? i - D : -1;
        each({ i, now: x[i], past: t > 0 ? x[from] : (before?.[b * D + j] ?? 0), from, j });
      }
}

/** The weight of the token before. */
const shareOf = (w: number, { weighs }: Attrs): number => (weighs === 'current' ? 1 - w : w);

const forward: Plain = (inputs, shapes, attrs) => {
  const result: Arrays = {};
  sharesOf(shapes).forEach((name, k) => {
    const y = new Float64Array(inputs.x.length);
    visit(inputs, shapes, ({ i, now, past, j }) => {
      y[i] = now + (past - now) * shareOf(inputs[name][j], attrs);
    });
    result[`y${k}`] = y;
  });
  return result;
};

const gradient: Plain = (inputs, shapes, attrs) => {
  const dx = new Float64Array(inputs.x.length);
  const slopes: Arrays = { dx };
  sharesOf(shapes).forEach((name, k) => {
    const [dw, dy] = [new Float64Array(inputs[name].length), inputs[`dy${k}`]];
    visit(inputs, shapes, ({ i, now, past, from, j }) => {
      const share = shareOf(inputs[name][j], attrs);
      dx[i] += dy[i] * (1 - share);
      if (from >= 0) dx[from] += dy[i] * share;
      dw[j] += dy[i] * (attrs.weighs === 'current' ? now - past : past - now);
    });
    slopes[`d${name}`] = dw;
  });
  return slopes;
};

export const plain: Record<string, Plain> = Object.fromEntries(
  COUNTS.flatMap((count) => [
    [`TokenMix${count}`, forward],
    [`TokenMix${count}Grad`, gradient],
  ]),
);
