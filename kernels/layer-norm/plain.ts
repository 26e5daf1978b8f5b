// LayerNorm as float64 loops.
import type { Plain } from '../core/kernel';

const forward: Plain = ({ x, weight, bias }, shapes, attrs) => {
  const width = shapes.x[shapes.x.length - 1];
  const rows = x.length / width;
  const y = new Float64Array(x.length);
  const mean = new Float64Array(rows);
  const rstd = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < width; j++) mean[r] += x[r * width + j] / width;
    let variance = 0;
    for (let j = 0; j < width; j++) variance += (x[r * width + j] - mean[r]) ** 2 / width;
    rstd[r] = 1 / Math.sqrt(variance + Number(attrs.epsilon));
    for (let j = 0; j < width; j++)
      y[r * width + j] = (x[r * width + j] - mean[r]) * rstd[r] * weight[j] + (bias ? bias[j] : 0);
  }
  return { y, mean, rstd };
};

const gradient: Plain = ({ x, weight, mean, rstd, dy }, shapes) => {
  const width = shapes.x[shapes.x.length - 1];
  const dx = new Float64Array(x.length);
  const dweight = new Float64Array(width);
  const dbias = new Float64Array(width);
  for (let r = 0; r < x.length / width; r++) {
    const normed = (j: number) => (x[r * width + j] - mean[r]) * rstd[r];
    let sum = 0;
    let dot = 0;
    for (let j = 0; j < width; j++) {
      const g = dy[r * width + j];
      sum += (g * weight[j]) / width;
      dot += (g * weight[j] * normed(j)) / width;
      dweight[j] += g * normed(j);
      dbias[j] += g;
    }
    for (let j = 0; j < width; j++)
      dx[r * width + j] = rstd[r] * (dy[r * width + j] * weight[j] - sum - normed(j) * dot);
  }
  return { dx, dweight, dbias };
};

export const plain: Record<string, Plain> = { LayerNorm: forward, LayerNormGrad: gradient };
