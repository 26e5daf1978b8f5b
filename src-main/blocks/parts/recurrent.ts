// What the classic recurrent networks have in common: options, rules, weights, and the walk over the tokens.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Problem } from '../../spec/error';
import { bool, int } from '../../spec/options';
import type { Cost, WeightSpec } from '../define';
import { linear } from './linear';
import { alongAxis } from './tokens';

export const recurrentOptions = {
  hidden: int(0, { min: 0, max: 16_384, help: 'Width of the recurrent state; 0 means the width of the model.' }),
  bias: bool(true, { help: 'Biases: one on the inputs and one on the state.' }),
  project: bool(true, { help: 'Maps the state to the model’s width; without it the output is the state itself.' }),
};
export interface RecurrentOptions {
  hidden: number;
  bias: boolean;
  project: boolean;
}

export const hiddenWidth = ({ hidden }: { hidden: number }, width: number): number => hidden || width;

/** Without a projection the state must fit the stream. */
export function recurrentProblems({ hidden, project }: RecurrentOptions, width: number, path: string): Problem[] {
  if (project || !hidden || hidden === width) return [];
  const message = `a state of ${hidden} channels does not fit the width ${width} without a projection`;
  return [{ path: `${path}.hidden`, message, hint: 'try 0, or set project to true', fix: 0 }];
}

/** Weights with `gates` gates side by side, drawn as PyTorch does; `shift` is added to a bias of the input at its index. */
export function recurrentWeights(
  { hidden, bias, project }: RecurrentOptions,
  D: number,
  gates: number,
  shift: (index: number) => number = () => 0,
): Record<string, WeightSpec> {
  const h = hiddenWidth({ hidden }, D);
  const bound = 1 / Math.sqrt(h);
  const weights: Record<string, WeightSpec> = {
    w_x: { shape: [D, gates * h], init: { kind: 'uniform', bound } },
    w_h: { shape: [h, gates * h], init: { kind: 'uniform', bound } },
  };
  if (bias) {
    const drawn = (draw: { uniform(): number }, i: number) => bound * (2 * draw.uniform() - 1) + shift(i);
    weights.b_x = { shape: [gates * h], init: { kind: 'drawn', value: drawn } };
    weights.b_h = { shape: [gates * h], init: { kind: 'uniform', bound } };
  }
  if (project) weights.w_o = { shape: [h, D], init: { kind: 'uniform', bound, branch: true } };
  return weights;
}

/** The matrix products; `kept` numbers a token and channel of the state are kept for the gradient besides the input. */
export function recurrentCost(options: RecurrentOptions, D: number, T: number, gates: number, kept: number): Cost {
  const h = hiddenWidth(options, D);
  const forwardFlops = T * (2 * gates * h * (D + h) + (options.project ? 2 * h * D : 0));
  const workingNumbers = T * (D + (gates + 1) * h);
  return { forwardFlops, backwardFlops: 2 * forwardFlops, savedNumbers: T * (D + kept * h), workingNumbers };
}

/** Input's share of the gates, x [B, T, D] to [B, T, gates·h]: one product for all tokens. */
export const inputGates = (x: Tensor3D, w_x: Tensor, bias?: Tensor): Tensor3D => linear(x, w_x, bias) as Tensor3D;

/** Walks over gates [B, T, n] token by token; `step` takes [B, n] and gives the token's output [B, h]. To [B, T, h]. */
export const walk = (gates: Tensor3D, step: (gates: Tensor) => Tensor): Tensor3D =>
  tf.stack(alongAxis(gates, 1).map(step), 1) as Tensor3D;

/** h [B, T, h] to the block's output [B, T, D]. */
export const output = (h: Tensor3D, w: Record<string, Tensor>): Tensor3D =>
  w.w_o ? (linear(h, w.w_o) as Tensor3D) : h;
