// How gpu.wgsl makes attention: queries and keys turned into scratch memory, then the tiles.
import { ceilDiv, type GpuPass, type GpuPlans } from '../core/plan';

/** Queries and keys of a tile, and channels that a workgroup sums into: kTile and kWidth of gpu.wgsl. */
const TILE = 32;
const WIDTH = 128;

const queryNumbers = ([B, T, , H, , d]: readonly number[]) => B * T * H * d;
const keyNumbers = ([B, , S, , Hk, d]: readonly number[]) => B * S * Hk * d;

const turns: GpuPass[] = [
  { entry: 'turn_queries', workgroups: (n) => ceilDiv(queryNumbers(n), 256) },
  { entry: 'turn_keys', workgroups: (n) => ceilDiv(keyNumbers(n), 256) },
];

export const gpu: GpuPlans = {
  Attention: {
    scratch: (n) => ({ qs: queryNumbers(n), ks: keyNumbers(n) }),
    passes: [
      ...turns,
      { entry: 'forward', workgroups: ([B, T, , H, , , e]) => B * H * ceilDiv(T, TILE) * ceilDiv(e, WIDTH) },
    ],
  },
  AttentionGrad: {
    scratch: (n) => ({
      qs: queryNumbers(n),
      ks: keyNumbers(n),
      dqs: queryNumbers(n),
      dks: keyNumbers(n),
      delta: n[0] * n[1] * n[3],
    }),
    passes: [
      ...turns,
      { entry: 'deltas', workgroups: ([B, T, , H]) => ceilDiv(B * T * H, 64) },
      { entry: 'backward_queries', workgroups: ([B, T, , H, , d]) => B * H * ceilDiv(T, TILE) * ceilDiv(d, WIDTH) },
      {
        entry: 'backward_keys',
        workgroups: ([B, , S, , Hk, d, e]) => B * Hk * ceilDiv(S, TILE) * ceilDiv(Math.max(d, e), WIDTH),
      },
      { entry: 'unturn_queries', workgroups: (n) => ceilDiv(queryNumbers(n), 256) },
      { entry: 'unturn_keys', workgroups: (n) => ceilDiv(keyNumbers(n), 256) },
      { entry: 'sink_slopes', workgroups: ([, , , H]) => H },
    ],
  },
};
