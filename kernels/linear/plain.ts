// Several linear maps of one input, as float64 loops.
import { type Arrays, type Attrs, type Plain, type Shapes, sizeOf } from '../core/kernel';
import { COUNTS } from './kernel';

interface Map {
  /** Where its weight begins, and the row length there. */
  w: Float64Array;
  from: number;
  ld: number;
  n: number;
}

/** The maps by number, their weights taken from `arrays` under the names w0, w1 .. or w. */
function mapsOf(arrays: Arrays, shapes: Shapes, attrs: Attrs, prefix = ''): Map[] {
  const columns = attrs.columns as number[] | undefined;
  if (columns) {
    let from = 0;
    return columns.map((n) => {
      const map = { w: arrays[`${prefix}w`], from, ld: shapes.w[1], n };
      from += n;
      return map;
    });
  }
  return Object.keys(shapes)
    .filter((name) => /^w\d$/.test(name))
    .map((name) => ({ w: arrays[`${prefix}${name}`], from: 0, ld: shapes[name][1], n: shapes[name][1] }));
}

const forward: Plain = (inputs, shapes, attrs) => {
  const D = shapes.x[shapes.x.length - 1];
  const rows = sizeOf(shapes.x) / D;
  const result: Arrays = {};
  mapsOf(inputs, shapes, attrs).forEach(({ w, from, ld, n }, i) => {
    const y = new Float64Array(rows * n);
    for (let r = 0; r < rows; r++)
      for (let d = 0; d < D; d++)
        for (let j = 0; j < n; j++) y[r * n + j] += inputs.x[r * D + d] * w[d * ld + from + j];
    result[`y${i}`] = y;
  });
  return result;
};

const gradient: Plain = (inputs, shapes, attrs) => {
  const D = shapes.x[shapes.x.length - 1];
  const rows = sizeOf(shapes.x) / D;
  const slopes: Arrays = { dx: new Float64Array(rows * D) };
  for (const name of Object.keys(shapes))
    if (/^w\d?$/.test(name)) slopes[`d${name}`] = new Float64Array(sizeOf(shapes[name]));
  const targets = mapsOf(slopes, shapes, attrs, 'd');
  mapsOf(inputs, shapes, attrs).forEach(({ w, from, ld, n }, i) => {
    const dy = inputs[`dy${i}`];
    for (let r = 0; r < rows; r++)
      for (let d = 0; d < D; d++)
        for (let j = 0; j < n; j++) {
          slopes.dx[r * D + d] += dy[r * n + j] * w[d * ld + from + j];
          targets[i].w[d * ld + from + j] += inputs.x[r * D + d] * dy[r * n + j];
        }
  });
  return slopes;
};

export const plain: Record<string, Plain> = Object.fromEntries(
  COUNTS.flatMap((count) =>
    [`Linear${count}`, `SplitLinear${count}`].flatMap((name) => [
      [name, forward],
      [`${name}Grad`, gradient],
    ]),
  ),
);
