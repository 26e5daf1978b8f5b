// One token of a linear recurrence: what decoding keeps as a matrix decays, takes in an outer product, and is read.
import { defineKernel, type Kernel, type Shapes } from '../core/kernel';

const same = (a: readonly number[] | undefined, b: readonly number[]): boolean => String(a) === String(b);

/**
 * s [B, G, d, e] to keep · s + k vᵀ, row by row: k [B, G, d], v [B, G, e], keep [B, G, d], [B, G, 1] or absent (1); and what is read of it, y [B, H, e] =
 * qᵀ s for q [B, H, d], head h from group floor(h·G/H).
 */
export const outerStep = defineKernel({
  name: 'OuterStep',
  inputs: ['s', 'q', 'k', 'v', 'keep?'],
  outputs: ({ s, q }) => ({ s, y: [q[0], q[1], s[3]] }),
  ints: ({ s, q, keep }) => [s[0], s[1], q[1], s[2], s[3], keep?.[2] ?? 0], // B, G, H, d, e, numbers of keep a group
  inPlace: true,
  refuses({ s, q, k, v, keep }) {
    if (s.length !== 4) return `s must be [batch, groups, keys, values], not [${s}]`;
    const [B, G, d, e] = s;
    if (q.length !== 3 || q[0] !== B || q[2] !== d || q[1] % G !== 0)
      return `q must be [${B}, a multiple of ${G}, ${d}] to go with s [${s}], not [${q}]`;
    if (!same(k, [B, G, d])) return `k is [${k}], and [${B},${G},${d}] fits s [${s}]`;
    if (!same(v, [B, G, e])) return `v is [${v}], and [${B},${G},${e}] fits s [${s}]`;
    if (keep && !same(keep, [B, G, d]) && !same(keep, [B, G, 1]))
      return `keep is [${keep}], and [${B},${G},${d}] or [${B},${G},1] fits s [${s}]`;
    return undefined;
  },
});

/**
 * The state space of Mamba-2: s [b, H, P, N] to exp(dt A) s + dt x Bᵀ, with x [b, H, P], dt [b, H], A [H] and B [b, G, N]; and y [b, H, P] = s C + D x,
 * with C [b, G, N] and D [H] (absent: 0). Head h reads group floor(h·G/H).
 */
export const ssdStep = defineKernel({
  name: 'SsdStep',
  inputs: ['s', 'x', 'dt', 'A', 'B', 'C', 'D?'],
  outputs: ({ s, x }) => ({ s, y: x }),
  ints: ({ s, B }: Shapes) => [s[0], B[1], s[1], s[2], s[3]], // b, G, H, P, N
  inPlace: true,
  refuses({ s, x, dt, A, B, C, D }) {
    if (s.length !== 4) return `s must be [batch, heads, channels, state], not [${s}]`;
    const [b, H, P, N] = s;
    if (!same(x, [b, H, P])) return `x is [${x}], and [${b},${H},${P}] fits s [${s}]`;
    if (!same(dt, [b, H])) return `dt is [${dt}], and [${b},${H}] fits s [${s}]`;
    if (!same(A, [H]) || (D && !same(D, [H]))) return `A [${A}] and D [${D}] must be [${H}] to go with s [${s}]`;
    if (B.length !== 3 || B[0] !== b || B[2] !== N || H % B[1] !== 0)
      return `B is [${B}], and [${b}, a divisor of ${H}, ${N}] fits s [${s}]`;
    if (!same(C, B)) return `C is [${C}], and [${B}] goes with B`;
    return undefined;
  },
});

export const kernels: Kernel[] = [outerStep, ssdStep];
