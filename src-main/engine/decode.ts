// Decoding token by token: the state of every block between tokens, and one step through the stack.
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import type { State } from '../blocks/define';
import { tf } from '../ops';
import { SpecError } from '../spec/error';
import { around, enter, leave, runPlanned, type Stack } from './stack';

/** What is kept between tokens. It belongs to the caller; `model.step` frees what it replaces. */
export interface DecodeState {
  /** Tokens read so far: the index of the next one. */
  position: number;
  batch: number;
  /** State of each block in order. */
  layers: State[];
  /** Steps that were played back. */
  played: number;
}

/** The state before the first token. */
export function begin(stack: Stack, batch: number, causal: boolean): DecodeState {
  if (!Number.isInteger(batch) || batch < 1) throw new SpecError(`decoding wants at least one sequence, not ${batch}`);
  if (!causal) throw new SpecError('a model with blocks that look at later tokens can not be decoded token by token');
  const layers = stack.blocks.map(({ block, options, path }): State => {
    if (!block.layer.step) throw new SpecError(`${block.id} can not be decoded token by token`, path);
    return tf.tidy(() => block.layer.begin?.(batch, stack.spec.width, options) ?? {});
  });
  return { position: 0, batch, layers, played: 0 };
}

/**
 * A state shaped as after `tokens` tokens, its numbers from `fill`: for measuring, where reading so many would take long.
 * @throws as `begin`.
 */
export function stateAfter(
  stack: Stack,
  batch: number,
  causal: boolean,
  tokens: number,
  fill: (shape: number[]) => Tensor,
): DecodeState {
  disposeState(begin(stack, batch, causal));
  const layers = stack.blocks.map(({ block, options }): State => {
    const specs = Object.entries(block.state?.(options, stack.spec.width) ?? {});
    return Object.fromEntries(
      specs.map(([name, { shape, most = tokens }]) => [
        name,
        fill([batch, ...shape.map((d) => (d === 'T' ? Math.min(tokens, most) : d))]),
      ]),
    );
  });
  return { position: tokens, batch, layers, played: 0 };
}

/** One token of each sequence, int32 [B], to logits [B, V] and the state after it; frees what was replaced of `state`. */
export function decodeStep(
  stack: Stack,
  tokens: Tensor1D,
  state: DecodeState,
): { logits: Tensor2D; state: DecodeState } {
  const [batch] = tokens.shape;
  if (batch !== state.batch)
    throw new SpecError(`${batch} tokens came for ${state.batch} sequences; a step takes one token of each`);
  const { position } = state;
  const { logits, layers } = tf.tidy(() => {
    const next: State[] = [];
    const shared = {};
    const x = enter(stack, tf.reshape(tokens, [batch, 1]) as Tensor2D, position);
    const y = runPlanned(stack.layers, x, (planned, stream) =>
      around(stack, planned, stream, (u) => {
        const { block, options, index } = planned;
        const context = { options, position, shared };
        const done = block.layer.step!(u, stack.own(planned), state.layers[index], context);
        next[index] = done.state;
        return done.y;
      }),
    );
    return { logits: tf.reshape(leave(stack, y), [batch, -1]) as Tensor2D, layers: next };
  });
  const kept = new Set(layers.flatMap((layer) => Object.values(layer)));
  for (const tensor of tensorsOf(state)) if (!kept.has(tensor)) tensor.dispose();
  return { logits, state: { position: position + 1, batch, layers, played: 0 } };
}

const tensorsOf = (state: DecodeState): Tensor[] => state.layers.flatMap((layer) => Object.values(layer));

/** Frees a state that is not stepped any more. */
export function disposeState(state: DecodeState): void {
  for (const tensor of tensorsOf(state)) tensor.dispose();
}

/** Bytes of the state of one sequence, as it is. */
export const stateBytesOf = (state: DecodeState): number =>
  tensorsOf(state).reduce((bytes, { size }) => bytes + 4 * size, 0) / state.batch;
