// What the kernels of the matrix memory share: sizes, settings, and what they keep before each chunk.
import type { Attrs, Shapes } from '../core/kernel';

/** Tokens a chunk. */
export const chunk = 64;

/** Batch, heads, tokens, channels a head. */
export function sizes(q: readonly number[], { tokensFirst }: Attrs): number[] {
  const [batch, second, third, d] = q;
  return tokensFirst ? [batch, third, second, d] : [batch, second, third, d];
}
export const ints = ({ q }: Shapes, attrs: Attrs) => [
  ...sizes(q, attrs),
  attrs.forgetGate === 'exp' ? 1 : 0,
  attrs.tokensFirst ? 1 : 0,
];
export const floats = ({ eps = 1e-6 }: Attrs) => [eps as number];

export function memoriesOf([batch, H, T, d]: readonly number[]) {
  const chunks = Math.ceil(T / chunk);
  return { memories: [batch, H, chunks, d + 2, d], stabilisers: [batch, H, chunks] };
}

/** Why a setting does not fit, if so. */
export function unfit(forgetGate: unknown, eps: unknown): string | undefined {
  if (forgetGate !== 'sigmoid' && forgetGate !== 'exp')
    return `forgetGate must be 'sigmoid' or 'exp', not ${forgetGate}`;
  if (typeof eps !== 'number' || !(eps >= 0)) return `eps must be a number of at least 0, not ${eps}`;
  return undefined;
}
