// How gpu.wgsl multiplies matrices: five ways, one of which has workgroups.
import { ceilDiv, type GpuPlans, type Grants } from '../core/plan';

/** Side of a tile, `kTile` of gpu.wgsl. */
const TILE = 64;
/** Columns of one workgroup that shares the inner sum, `kStrip` of gpu.wgsl. */
const STRIP = 32;
/** Below this many numbers of the result, tiles would leave most of a GPU idle. */
const FEW = 4096;

/** Where kernel.ts's ints say that inputs are rounded. */
const ROUNDED = 11;

/**
 * Tiles where they are mostly filled; the inner sum shared among lanes where there are few and long sums, as in decoding; else each lane
 * makes four numbers of a row by itself, without waiting for others. Tiles of rounded numbers hold two of them in a word: as 16-bit floats where the
 * device has those, else as bfloat16.
 */
export function wayOf(
  ints: readonly number[],
  { half }: Pick<Grants, 'half'>,
): 'direct' | 'shared' | 'tiled' | 'pairs' | 'halves' {
  const [batch, m, n, k] = ints;
  const rounded = ints[ROUNDED] === 1;
  if (m >= TILE / 2 && n >= TILE / 2 && k >= 16 && batch * m * n >= FEW)
    return rounded ? (half ? 'halves' : 'pairs') : 'tiled';
  return batch * m * n < FEW && k >= 128 ? 'shared' : 'direct';
}

const only =
  (way: ReturnType<typeof wayOf>, workgroups: (ints: readonly number[]) => number) =>
  (ints: readonly number[], grants: Grants) =>
    wayOf(ints, grants) === way ? workgroups(ints) : 0;

const tiles = ([batch, m, n]: readonly number[]) => batch * ceilDiv(m, TILE) * ceilDiv(n, TILE);
/** Rows of a tile of a, and columns of one of b, each with a factor. */
const panels = ([batch, m, n]: readonly number[]) => batch * (ceilDiv(m, TILE) + ceilDiv(n, TILE));

export const gpu: GpuPlans = {
  MatMulBatch: {
    scratch: (ints, grants) => ({ factors: only('halves', panels)(ints, grants) }),
    passes: [
      { entry: 'direct', workgroups: only('direct', ([batch, m, n]) => ceilDiv(batch * m * ceilDiv(n, 4), 64)) },
      { entry: 'shared_sum', workgroups: only('shared', ([batch, m, n]) => batch * m * ceilDiv(n, STRIP)) },
      { entry: 'tiled', workgroups: only('tiled', tiles) },
      { entry: 'tiled_pairs', workgroups: only('pairs', tiles) },
      { entry: 'scale_panels', constants: { wide: 256 }, workgroups: only('halves', panels) },
      { entry: 'tiled_halves', workgroups: only('halves', tiles) },
    ],
  },
};
