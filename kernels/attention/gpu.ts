// How the shaders make attention: queries and keys turned into scratch memory, then the tiles; for latent and differential attention with their own
// passes around them.
import { ceilDiv, type GpuPass, type GpuPlan, type GpuPlans } from '../core/plan';

/** Queries and keys of a tile, and channels that a workgroup sums into: kTile and kWidth of gpu.wgsl. */
const TILE = 32;
const WIDTH = 128;
/** Rows of a part of a sum: kRows of gpu_differential.wgsl. */
const ROWS = 64;

/** The ints of `Call` in gpu.wgsl. */
type Ints = readonly number[];
const named = ([B, T, S, H, Hk, d, e, , , , , , , maps, pitch, own]: Ints) => ({
  ...{ B, T, S, H, Hk, d, e, maps, pitch, own },
});
const queryNumbers = ([B, T, , H, , d]: Ints) => B * T * H * d;
const keyNumbers = ([B, , S, , Hk, d]: Ints) => B * S * Hk * d;
const valueHeads = (n: Ints) => named(n).Hk / named(n).maps;
/** Tokens' heads of differential attention. */
const rows = ([B, T, , H]: Ints) => (B * T * H) / 2;

/** Turns the queries, or the keys, from `given` to `made`. */
function turn(given: string, made: string, { keys = 0, back = 0 } = {}): GpuPass {
  return {
    entry: 'turn_rows',
    constants: { keys, back },
    bind: { given, made },
    workgroups: (n) => ceilDiv(keys ? keyNumbers(n) : queryNumbers(n), 256),
  };
}
const turnQueries = turn('q', 'qs');
const turnKeys = turn('k', 'ks', { keys: 1 });
const turnQueriesBack = turn('dqs', 'dq', { back: 1 });
const turnKeysBack = turn('dks', 'dk', { keys: 1, back: 1 });
const joinKeys: GpuPass = { entry: 'join_keys', workgroups: (n) => ceilDiv(keyNumbers(n), 256) };

/** The tiles, with other tensors in place of those named in gpu.wgsl. */
const forward = (bind?: GpuPass['bind']): GpuPass => ({
  entry: 'forward',
  bind,
  workgroups: ([B, T, , H, , , e]) => B * H * ceilDiv(T, TILE) * ceilDiv(e, WIDTH),
});
const backward = (bind?: GpuPass['bind'], dv = 'dv'): GpuPass[] => [
  {
    entry: 'backward_queries',
    bind,
    workgroups: ([B, T, , H, , d]) => B * H * ceilDiv(T, TILE) * ceilDiv(d, WIDTH),
  },
  {
    entry: 'backward_keys',
    bind: { ...bind, dv },
    workgroups: (n) => {
      const { B, S, d, e } = named(n);
      return B * valueHeads(n) * ceilDiv(S, TILE) * ceilDiv(Math.max(d, e), WIDTH);
    },
  },
];
const deltas: GpuPass = { entry: 'deltas', workgroups: ([B, T, , H]) => ceilDiv(B * T * H, 64) };

const turned = (n: Ints) => ({ qs: queryNumbers(n), ks: keyNumbers(n) });
const slopes = (n: Ints) => {
  const { B, T, H } = named(n);
  return { ...turned(n), dqs: queryNumbers(n), dks: keyNumbers(n), delta: B * T * H };
};

const softmaxInts: GpuPlan['ints'] = (n) => [...n, 1, n[6], 0];
const latentInts: GpuPlan['ints'] = ([B, T, S, H, Hk, d, width, causal, own, valueAt, turning]) => [
  ...[B, T, S, H, Hk, d, width - valueAt, causal, 0, 0, turning, 0, 0, 1, width, own],
];
const differentialInts: GpuPlan['ints'] = ([B, T, S, H, Hk, d, e, causal, turning]) => [
  ...[B, T, S, 2 * H, 2 * Hk, d, e, causal, 0, 0, turning, 0, 0, 2, e, 0],
];
const differentialFloats: GpuPlan['floats'] = ({ scale, epsilon }) => [Number(scale), 0, Number(epsilon)];

export const gpu: GpuPlans = {
  Attention: { ints: softmaxInts, scratch: turned, passes: [turnQueries, turnKeys, forward()] },
  AttentionGrad: {
    ints: softmaxInts,
    scratch: slopes,
    passes: [
      ...[turnQueries, turnKeys, deltas, ...backward(), turnQueriesBack, turnKeysBack],
      { entry: 'sink_slopes', workgroups: ([, , , H]) => H },
    ],
  },
  LatentAttention: {
    ints: latentInts,
    scratch: turned,
    passes: [turnQueries, joinKeys, forward({ v: 'kv' })],
  },
  LatentAttentionGrad: {
    ints: latentInts,
    scratch: slopes,
    passes: [
      ...[turnQueries, joinKeys, deltas, ...backward({ v: 'kv' }, 'dkv'), turnQueriesBack],
      {
        entry: 'part_own',
        workgroups: (n) => {
          const { B, S, Hk, own } = named(n);
          return ceilDiv(B * S * Hk * own, 256);
        },
      },
      {
        entry: 'part_shared',
        workgroups: (n) => {
          const { B, S, d, own } = named(n);
          return ceilDiv(B * S * (d - own), 256);
        },
      },
    ],
  },
  DifferentialAttention: {
    ints: differentialInts,
    floats: differentialFloats,
    scratch: (n) => ({ ...turned(n), o: 2 * rows(n) * n[6] }),
    passes: [turnQueries, turnKeys, forward(), { entry: 'norm_rows', workgroups: rows }],
  },
  DifferentialAttentionGrad: {
    ints: differentialInts,
    floats: differentialFloats,
    scratch: (n) => ({
      ...slopes(n),
      slopes: 2 * rows(n) * n[6],
      facts: 2 * rows(n),
      parts: ceilDiv(rows(n), ROWS) * n[6],
    }),
    passes: [
      ...[turnQueries, turnKeys, { entry: 'norm_slopes', workgroups: rows }],
      ...backward({ do_in: 'slopes' }),
      ...[turnQueriesBack, turnKeysBack],
      { entry: 'weight_parts', workgroups: (n) => ceilDiv(rows(n), ROWS) * ceilDiv(n[6], 64) },
      { entry: 'weight_sum', workgroups: ([, , , , , , e]) => ceilDiv(e, 64) },
      { entry: 'rest_sum', workgroups: () => 1 },
    ],
  },
};
