// The last linear map and softmax cross-entropy as float64 loops.
import type { Plain } from '../core/kernel';

const forward: Plain = ({ x, w, targets, mask }, shapes, attrs) => {
  const D = shapes.x[shapes.x.length - 1];
  const tied = attrs.tied === true;
  const V = shapes.w[tied ? 0 : 1];
  const epsilon = Number(attrs.labelSmoothing ?? 0);
  const at = (d: number, v: number) => (tied ? v * D + d : d * V + v);
  const slopeX = new Float64Array(x.length);
  const slopeW = new Float64Array(w.length);
  const graded = mask ? mask.reduce((a, b) => a + b, 0) : targets.length;
  let total = 0;
  for (let r = 0; r < targets.length; r++) {
    const weight = mask ? mask[r] : 1;
    if (weight === 0) continue;
    const z = new Float64Array(V);
    for (let d = 0; d < D; d++) for (let v = 0; v < V; v++) z[v] += x[r * D + d] * w[at(d, v)];
    const most = z.reduce((a, b) => Math.max(a, b));
    const lse = most + Math.log(z.reduce((sum, u) => sum + Math.exp(u - most), 0));
    for (let v = 0; v < V; v++) {
      const share = (v === targets[r] ? 1 - epsilon : 0) + epsilon / V;
      total += weight * share * (lse - z[v]);
      const slope = (weight / graded) * (Math.exp(z[v] - lse) - share);
      for (let d = 0; d < D; d++) {
        slopeX[r * D + d] += slope * w[at(d, v)];
        slopeW[at(d, v)] += slope * x[r * D + d];
      }
    }
  }
  return { loss: Float64Array.of(graded === 0 ? 0 : total / graded), slopeX, slopeW };
};

const gradient: Plain = ({ slopeX, slopeW, dloss }) => ({
  dx: slopeX.map((slope) => slope * dloss[0]),
  dw: slopeW.map((slope) => slope * dloss[0]),
});

export const plain: Record<string, Plain> = { LinearCrossEntropy: forward, LinearCrossEntropyGrad: gradient };
