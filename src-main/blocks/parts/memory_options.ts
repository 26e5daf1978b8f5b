// Options, rules and weights that both units of Memory Mosaics have.
import type { Problem } from '../../spec/error';
import { bool, float, int } from '../../spec/options';
import type { WeightSpec } from '../define';
import { startingLeak } from './memory_key';
import { divisorNear } from './sizes';

export const memoryOptions = {
  heads: int(4, { min: 1, max: 1024, help: 'Memories H side by side, each of width / heads channels.' }),
  bias: bool(false, { help: 'Biases on the projections.' }),
  rawScaling: float(10, {
    min: 0.01,
    max: 1000,
    log: true,
    help: 'Scalars of a head are stored divided by this, so that one learning rate serves them and the matrices.',
  }),
  normEps: float(1e-10, {
    min: 0,
    max: 0.1,
    log: true,
    help: 'Added to lengths before keys and values are divided by them.',
  }),
};

/** Heads must share the width evenly. */
export function headProblems(heads: number, width: number, path: string): Problem[] {
  if (width % heads === 0) return [];
  const fix = divisorNear(width, heads);
  const message = `${heads} heads do not divide the width ${width}`;
  return [{ path: `${path}.heads`, message, hint: `try ${fix}`, fix }];
}

/** A scalar a head, which weight decay leaves alone. */
export const scalarOfHead = (H: number, value: number): WeightSpec => ({
  shape: [H],
  init: { kind: 'drawn', value: () => value },
  decay: false,
});

/** Key projection, leak and key length. */
export const keyWeights = (H: number, D: number, rawScaling: number): Record<string, WeightSpec> => ({
  w_k: { shape: [D, D], init: { kind: 'normal', std: 0.02 } },
  leak: { shape: [H], init: { kind: 'drawn', value: (_, h) => startingLeak(h, H, rawScaling) }, decay: false },
  key_scale: scalarOfHead(H, 1 / rawScaling),
});
/** Output projection. */
export const outputWeights = (D: number): Record<string, WeightSpec> => ({
  w_o: { shape: [D, D], init: { kind: 'normal', std: 0.02, branch: true } },
});
/** Biases of the named projections. */
export const biases = (names: readonly string[], D: number): Record<string, WeightSpec> =>
  Object.fromEntries(names.map((name) => [`b_${name}`, { shape: [D], init: { kind: 'zeros' } }]));
