// Starting matrices with orthogonal rows or columns.
import type { Draw, Init } from '../define';

/** Makes the rows of a row-major matrix orthonormal, one after the other (modified Gram and Schmidt). */
function orthonormalise(m: Float64Array, rows: number, columns: number): void {
  for (let i = 0; i < rows; i++) {
    const row = m.subarray(i * columns, (i + 1) * columns);
    for (let j = 0; j < i; j++) {
      const other = m.subarray(j * columns, (j + 1) * columns);
      let along = 0;
      for (let c = 0; c < columns; c++) along += row[c] * other[c];
      for (let c = 0; c < columns; c++) row[c] -= along * other[c];
    }
    let square = 0;
    for (const value of row) square += value * value;
    const length = Math.sqrt(square);
    for (let c = 0; c < columns; c++) row[c] /= length;
  }
}

/** [rows, columns] with the shorter side orthonormal, times `gain`: uniform among such matrices, as in torch.nn.init.orthogonal_. */
export function orthogonal([rows, columns]: readonly [number, number], gain = 1): Init {
  const drawn = new WeakMap<Draw, Float64Array>();
  const [short, long] = rows <= columns ? [rows, columns] : [columns, rows];
  const matrix = (draw: Draw) => {
    const m = Float64Array.from({ length: rows * columns }, () => draw.normal());
    orthonormalise(m, short, long);
    return m;
  };
  return {
    kind: 'drawn',
    value(draw, i) {
      let m = drawn.get(draw);
      if (!m) {
        m = matrix(draw);
        drawn.set(draw, m);
      }
      const [r, c] = [Math.floor(i / columns), i % columns];
      return gain * (rows <= columns ? m[r * long + c] : m[c * long + r]);
    },
  };
}
