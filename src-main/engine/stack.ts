// What runs around the blocks of a model: embedding and positions, norms and residuals, branches, the head.
import type { Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import type { Weights } from '../blocks/define';
import { embed } from '../blocks/parts/embedding';
import { layerNorm, rmsNorm } from '../blocks/parts/norm';
import { tf } from '../ops';
import type { ModelSpec, Norm } from '../spec/model';
import { EMBEDDING_STD, type Planned, type PlannedBlock } from './plan';

/** Added to the mean square or the variance in the norms before blocks and before the head. */
export const NORM_EPSILON = 1e-5;

/** What the parts of a model share: its weights by full name. */
export interface Stack {
  spec: ModelSpec;
  layers: Planned[];
  blocks: PlannedBlock[];
  weight(name: string): Tensor;
  /** Weights of one block, by the names that the block gave them. */
  own(block: PlannedBlock): Weights;
}

/** sin and cos of t / 10000^(2i/D), side by side, scaled to the spread of fresh embeddings so that neither drowns the other. */
function sinusoids(start: number, T: number, D: number): Float32Array {
  const table = new Float32Array(T * D);
  for (let t = 0; t < T; t++)
    for (let j = 0; j < D; j++) {
      const angle = (start + t) / 10_000 ** ((2 * Math.floor(j / 2)) / D);
      table[t * D + j] = Math.SQRT2 * EMBEDDING_STD * (j % 2 ? Math.cos(angle) : Math.sin(angle));
    }
  return table;
}

/** ids [B, T] at positions from `start` to the stream [B, T, D]. */
export function enter(stack: Stack, ids: Tensor2D, start: number): Tensor3D {
  const { positions, width: D } = stack.spec;
  const [, T] = ids.shape;
  const x = embed(stack.weight('embedding'), ids);
  if (positions === 'none') return x as Tensor3D;
  const rows =
    positions === 'learned'
      ? tf.slice(stack.weight('positions'), [start, 0], [T, D])
      : tf.tensor(sinusoids(start, T, D), [T, D]);
  return tf.add(x, rows) as Tensor3D;
}

/** The same for one token of each sequence, ids [B, 1], at the position from which `now` makes tensors. */
export function enterOne(stack: Stack, ids: Tensor2D, now: Now): Tensor3D {
  const { positions, width: D } = stack.spec;
  const x = embed(stack.weight('embedding'), ids);
  if (positions === 'none') return x as Tensor3D;
  const row =
    positions === 'learned'
      ? tf.gather(
          stack.weight('positions'),
          now('position', [1], (position) => Int32Array.of(position)),
        )
      : now('sinusoids', [1, D], (position) => sinusoids(position, 1, D));
  return tf.add(x, row) as Tensor3D;
}

/** Makes a tensor that follows from the position of the token at hand. */
export type Now = (key: string, shape: number[], read: (position: number) => Float32Array | Int32Array) => Tensor;

/** The stream [.., D] to logits [.., V]. */
export function leave(stack: Stack, x: Tensor): Tensor {
  const { finalNorm, head, width: D } = stack.spec;
  const rows = tf.reshape(normed(stack, finalNorm, 'final_norm', x), [-1, D]) as Tensor2D;
  const logits = head.tied
    ? tf.matMul(rows, stack.weight('embedding') as Tensor2D, false, true)
    : tf.matMul(rows, stack.weight('head') as Tensor2D);
  return tf.reshape(logits, [...x.shape.slice(0, -1), -1]);
}

function normed(stack: Stack, norm: Norm, name: string, x: Tensor): Tensor {
  if (norm === 'rms') return rmsNorm(x, stack.weight(name), NORM_EPSILON);
  if (norm === 'layer') return layerNorm(x, stack.weight(name), stack.weight(`${name}_bias`), NORM_EPSILON);
  return x;
}

/** One block with its norm before it and its residual around it; `run` is the block's forward or its step. */
export function around(stack: Stack, block: PlannedBlock, x: Tensor3D, run: (x: Tensor3D) => Tensor3D): Tensor3D {
  const y = run(normed(stack, block.norm, `layers.${block.index}.norm`, x) as Tensor3D);
  return block.residual ? (tf.add(x, y) as Tensor3D) : y;
}

/** Runs a list of planned layers; `one` runs a single block. */
export function runPlanned(
  layers: readonly Planned[],
  x: Tensor3D,
  one: (block: PlannedBlock, x: Tensor3D) => Tensor3D,
): Tensor3D {
  return layers.reduce((stream, layer) => {
    if (layer.kind === 'block') return one(layer, stream);
    const outputs = layer.branches.map((branch) => runPlanned(branch, stream, one));
    const total = outputs.reduce((a, b) => tf.add(a, b) as Tensor3D);
    if (layer.combine === 'mean') return tf.div(total, outputs.length) as Tensor3D;
    // Each branch made of residual blocks carries the stream; of the sum it is to be one part, not several.
    const carried = layer.branches.filter(carries).length;
    return carried > 1 ? (tf.sub(total, tf.mul(stream, carried - 1)) as Tensor3D) : total;
  }, x);
}

/** Whether the output of a branch is its input plus something. */
const carries = (branch: readonly Planned[]): boolean =>
  branch.every((layer) => (layer.kind === 'block' ? layer.residual : layer.branches.some(carries)));
