// How gpu.wgsl multiplies matrices: three ways, one of which has workgroups.
import { ceilDiv, type GpuPlans } from '../core/plan';

/** Side of a tile, `kTile` of gpu.wgsl. */
const TILE = 64;
/** Columns of one workgroup that shares the inner sum, `kStrip` of gpu.wgsl. */
const STRIP = 32;
/** Below this many numbers of the result, tiles would leave most of a GPU idle. */
const FEW = 4096;

/**
 * Tiles where they are mostly filled; the inner sum shared among lanes where there are few and long sums, as in decoding; else each lane
 * makes four numbers of a row by itself, without waiting for others.
 */
export function wayOf([batch, m, n, k]: readonly number[]): 'direct' | 'shared' | 'tiled' {
  if (m >= TILE / 2 && n >= TILE / 2 && k >= 16 && batch * m * n >= FEW) return 'tiled';
  return batch * m * n < FEW && k >= 128 ? 'shared' : 'direct';
}

const only =
  (way: ReturnType<typeof wayOf>, workgroups: (ints: readonly number[]) => number) => (ints: readonly number[]) =>
    wayOf(ints) === way ? workgroups(ints) : 0;

export const gpu: GpuPlans = {
  MatMulBatch: {
    passes: [
      { entry: 'direct', workgroups: only('direct', ([batch, m, n]) => ceilDiv(batch * m * ceilDiv(n, 4), 64)) },
      { entry: 'shared_sum', workgroups: only('shared', ([batch, m, n]) => batch * m * ceilDiv(n, STRIP)) },
      { entry: 'tiled', workgroups: only('tiled', ([batch, m, n]) => batch * ceilDiv(m, TILE) * ceilDiv(n, TILE)) },
    ],
  },
};
