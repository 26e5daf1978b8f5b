// For tests: keys and values of Memory Mosaics of given sizes, as the native kernels and the shaders are compared with the plain loops.
import { draw } from '../core/testing';
import { leakyKeys, leakyKeysGrad, mixedValues, mixedValuesGrad } from './kernel';
import { plain } from './plain';

export const attrs = { rawScaling: 10, epsilon: 1e-10 };
const scalars = (H: number, seed: number, size: number) => draw(H, seed).map((u) => Math.fround(size * u));

export const keys = (B: number, T: number, H: number, d: number, power = 1) => ({
  forward: leakyKeys,
  gradient: leakyKeysGrad,
  plain,
  shapes: { u: [B, T, H, d], leak: [H], scale: [H] },
  inputs: { leak: scalars(H, 2, 0.2), scale: scalars(H, 3, 0.2) },
  attrs: { ...attrs, power },
  floor: d === 1 ? 10 : undefined, // a single channel becomes ±1 whatever it is: its gradient cancels to 0
});
export const values = (B: number, T: number, H: number, d: number) => ({
  forward: mixedValues,
  gradient: mixedValuesGrad,
  plain,
  shapes: { u: [B, T, H, d], mix: [H], scale: [H] },
  inputs: { scale: scalars(H, 3, 0.2) },
  attrs,
  floor: d === 1 ? 10 : undefined,
});
/** Rows, tokens, heads, their width. */
export const sizes = [
  [1, 1, 1, 1],
  [2, 2, 3, 1],
  [2, 5, 2, 3],
  [1, 130, 3, 17],
  [2, 33, 1, 66],
  [0, 4, 2, 3],
] as const;
