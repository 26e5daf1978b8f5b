// Scans over one tensor that holds values and maps side by side, as a convolution leaves them: Mamba-2's, and Hydra's in both directions.
import { type Attrs, defineKernel, type Shape, type Shapes, sizeOf } from '../core/kernel';

const CHUNK = 64;

interface Sizes {
  batch: number;
  T: number;
  H: number;
  P: number;
  /** Groups, and state of a head: attributes `groups` and `state`. */
  G: number;
  N: number;
}
/** Sizes where `maps` maps [G, N] stand behind the values. */
function sizesOf(mixed: Shape, dt: Shape, attrs: Attrs, maps: number): Sizes {
  const [batch, T, H] = dt;
  const [G, N] = [Number(attrs.groups), Number(attrs.state)];
  return { batch, T, H, P: (mixed[2] - maps * G * N) / H, G, N };
}
const list = ({ batch, T, H, P, G, N }: Sizes): number[] => [batch, T, H, P, G, N];
const states = ({ batch, T, H, P, N }: Sizes): number[] => [batch, H, Math.ceil(T / CHUNK), N, P];

function unfit(mixed: Shape, dt: Shape, attrs: Attrs, maps: number): string | undefined {
  if (mixed.length !== 3) return `mixed must be [batch, tokens, channels], not [${mixed.join(', ')}]`;
  if (dt.length !== 3 || dt[0] !== mixed[0] || dt[1] !== mixed[1])
    return `dt [${dt}] must be [batch, tokens, heads] to go with mixed [${mixed}]`;
  const { H, P, G, N } = sizesOf(mixed, dt, attrs, maps);
  if (!(G >= 1 && N >= 1)) return `attributes groups and state must be at least 1, not ${G} and ${N}`;
  if (!(P >= 1) || P % 1 !== 0)
    return `mixed [${mixed}] must hold ${H} equal heads of values and ${maps} maps of ${G} × ${N} channels`;
  return H % G === 0 ? undefined : `${G} groups do not divide ${H} heads`;
}

/**
 * As SsdScan from an empty state: mixed [b, T, H·P + 2·G·N] holds x, B and C; dt [b, T, H], A and D [H], to y [b, T, H·P]. chunkStates
 * [b, H, ceil(T / 64), N, P] are kept for the gradient. Attributes: groups G, state N.
 */
export const packedScan = defineKernel({
  name: 'PackedScan',
  inputs: ['mixed', 'dt', 'A', 'D?'],
  outputs({ mixed, dt }, attrs) {
    const sizes = sizesOf(mixed, dt, attrs, 2);
    return { y: [sizes.batch, sizes.T, sizes.H * sizes.P], chunkStates: states(sizes) };
  },
  ints: ({ mixed, dt }, attrs) => list(sizesOf(mixed, dt, attrs, 2)),
  refuses({ mixed, dt, A, D }, attrs) {
    for (const [name, shape] of Object.entries({ A, D }))
      if (shape && sizeOf(shape) !== dt[2]) return `${name} has ${sizeOf(shape)} entries for ${dt[2]} heads`;
    return unfit(mixed, dt, attrs, 2);
  },
  gradient: {
    kernel: 'PackedScanGrad',
    inputs: ['mixed', 'dt', 'A', 'D'],
    outputs: ['chunkStates'],
    cotangents: ['y'],
    of: ['mixed', 'dt', 'A', 'D'],
  },
});

export const packedScanGrad = defineKernel({
  name: 'PackedScanGrad',
  inputs: ['mixed', 'dt', 'A', 'D?', 'chunkStates', 'dy'],
  outputs: ({ mixed, dt, A }) => ({ dmixed: mixed, ddt: dt, dA: A, dD: A }),
  ints: ({ mixed, dt }, attrs) => list(sizesOf(mixed, dt, attrs, 2)),
});

const bothInts = ({ mixed, ahead }: Shapes, attrs: Attrs) => list(sizesOf(mixed, ahead, attrs, 4));

/**
 * The quasiseparable mixer, y[t] = scan ahead [t−1] + scan back [t+1] + own[t] x[t] with own = D + x · w_D: mixed [b, T, H·P + 4·G·N] holds x, B
 * and C of the scan from the first token on, and B and C of the one from the last token back; their step sizes ahead and back [b, T, H], A and D
 * [H], w_D [H·P, H], to y [b, T, H·P]. aheadStates and backStates [b, H, ceil(T / 64), N, P] and own [b, T, H] are kept for the gradient.
 * Attributes: groups G, state N.
 */
export const quasiseparable = defineKernel({
  name: 'Quasiseparable',
  inputs: ['mixed', 'ahead', 'back', 'A', 'D', 'w_D'],
  outputs({ mixed, ahead }, attrs) {
    const sizes = sizesOf(mixed, ahead, attrs, 4);
    const kept = states(sizes);
    return { y: [sizes.batch, sizes.T, sizes.H * sizes.P], aheadStates: kept, backStates: kept, own: ahead };
  },
  ints: bothInts,
  refuses({ mixed, ahead, back, A, D, w_D }, attrs) {
    if (String(back) !== String(ahead)) return `back [${back}] must have the shape of ahead [${ahead}]`;
    for (const [name, shape] of Object.entries({ A, D }))
      if (sizeOf(shape) !== ahead[2]) return `${name} has ${sizeOf(shape)} entries for ${ahead[2]} heads`;
    const why = unfit(mixed, ahead, attrs, 4);
    if (why) return why;
    const { H, P } = sizesOf(mixed, ahead, attrs, 4);
    return String(w_D) === String([H * P, H]) ? undefined : `w_D [${w_D}] must be [${H * P}, ${H}]`;
  },
  gradient: {
    kernel: 'QuasiseparableGrad',
    inputs: ['mixed', 'ahead', 'back', 'A', 'D', 'w_D'],
    outputs: ['aheadStates', 'backStates', 'own'],
    cotangents: ['y'],
    of: ['mixed', 'ahead', 'back', 'A', 'D', 'w_D'],
  },
});

export const quasiseparableGrad = defineKernel({
  name: 'QuasiseparableGrad',
  inputs: ['mixed', 'ahead', 'back', 'A', 'D', 'w_D', 'aheadStates', 'backStates', 'own', 'dy'],
  outputs: ({ mixed, ahead, back, A, D, w_D }) => ({
    dmixed: mixed,
    dahead: ahead,
    dback: back,
    dA: A,
    dD: D,
    dw_D: w_D,
  }),
  ints: bothInts,
});
