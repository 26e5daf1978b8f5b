// What tables of rotary positions a kernel takes.
import type { Shapes } from '../core/kernel';

/** Why tables do not fit `keys` keys and heads of `width` channels. */
export function tableProblem({ cos, sin }: Shapes, queries: number, keys: number, width: number): string | undefined {
  if ((cos === undefined) !== (sin === undefined)) return 'cos and sin come together or not at all';
  if (!cos || !sin) return undefined;
  if (keys < queries) return `rotary tables want at least as many keys as queries, not ${keys} keys for ${queries}`;
  for (const [name, shape] of Object.entries({ cos, sin }))
    if (shape.length !== 2 || shape[0] < keys || shape[1] !== cos[1])
      return `${name} [${shape}] must be [at least ${keys}, half of the channels that turn]`;
  if (2 * cos[1] > width)
    return `rotary turns pairs, so tables for ${2 * cos[1]} channels do not fit a head of ${width}`;
  return undefined;
}
