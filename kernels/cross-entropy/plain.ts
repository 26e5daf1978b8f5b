// Softmax cross-entropy as float64 loops.
import type { Plain } from '../core/kernel';

const forward: Plain = ({ logits, targets, mask }, shapes, attrs) => {
  const V = shapes.logits[shapes.logits.length - 1];
  const epsilon = Number(attrs.labelSmoothing ?? 0);
  const rows = targets.length;
  const logsumexp = new Float64Array(rows);
  let total = 0;
  let graded = 0;
  for (let r = 0; r < rows; r++) {
    const weight = mask ? mask[r] : 1;
    if (weight === 0) continue;
    const z = logits.subarray(r * V, (r + 1) * V);
    const most = z.reduce((a, b) => Math.max(a, b), -Infinity);
    logsumexp[r] = most + Math.log(z.reduce((sum, u) => sum + Math.exp(u - most), 0));
    const mean = z.reduce((sum, u) => sum + u / V, 0);
    total += weight * (logsumexp[r] - (1 - epsilon) * z[targets[r]] - epsilon * mean);
    graded += weight;
  }
  return { loss: Float64Array.of(graded === 0 ? 0 : total / graded), logsumexp };
};

const gradient: Plain = ({ logits, targets, mask, logsumexp, dloss }, shapes, attrs) => {
  const V = shapes.logits[shapes.logits.length - 1];
  const epsilon = Number(attrs.labelSmoothing ?? 0);
  const dlogits = new Float64Array(logits.length);
  const graded = mask ? mask.reduce((a, b) => a + b, 0) : targets.length;
  for (let r = 0; r < targets.length; r++) {
    const weight = mask ? mask[r] : 1;
    if (weight === 0) continue;
    for (let j = 0; j < V; j++) {
      const share = (j === targets[r] ? 1 - epsilon : 0) + epsilon / V;
      dlogits[r * V + j] = ((dloss[0] * weight) / graded) * (Math.exp(logits[r * V + j] - logsumexp[r]) - share);
    }
  }
  return { dlogits };
};

export const plain: Record<string, Plain> = { CrossEntropy: forward, CrossEntropyGrad: gradient };
