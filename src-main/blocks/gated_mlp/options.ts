// The options of the gated MLP and its hidden width.
import { choice, float, int, type ValuesOf } from '../../spec/options';
import { activations } from '../parts/activation';
import { roundUp } from '../parts/sizes';

export const options = {
  activation: choice('silu', {
    choices: activations,
    help: 'What the gate goes through: silu is SwiGLU, gelu GeGLU, relu ReGLU, sigmoid the plain GLU, identity bilinear.',
    paper: 'https://arxiv.org/abs/2002.05202',
  }),
  multiple: float(8 / 3, { min: 0.1, max: 32, help: 'Hidden width as a multiple of the model width, rounded up.' }),
  hidden: int(0, { min: 0, max: 262_144, help: 'Hidden width as a number; 0 takes the multiple.' }),
  roundTo: int(64, { min: 1, max: 1024, help: 'The hidden width by multiple is rounded up to a multiple of this.' }),
};
export type GatedMlpOptions = ValuesOf<typeof options>;

/** Hidden width F. */
export const hiddenWidth = (
  { hidden, multiple, roundTo }: Omit<GatedMlpOptions, 'activation'>,
  width: number,
): number => hidden || roundUp(multiple * width, roundTo);
