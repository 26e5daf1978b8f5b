// What runs around the blocks of a model: embedding and positions, norms and residuals, branches, the head.
import type { Scalar, Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import type { Weights } from '../blocks/define';
import { embed } from '../blocks/parts/embedding';
import { linearCrossEntropy } from '../blocks/parts/linear_cross_entropy';
import { addRmsNorm, layerNorm, rmsNorm } from '../blocks/parts/norm';
import { tf } from '../ops';
import type { ModelSpec, Norm } from '../spec/model';
import { EMBEDDING_STD, type Planned, type PlannedBlock } from './plan';

/** Added to the mean square or the variance in the norms before blocks and before the head. */
const NORM_EPSILON = 1e-5;

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

/** The stream [.., D] through the last norm, as rows. */
function last(stack: Stack, x: Tensor): Tensor2D {
  const { finalNorm, width: D } = stack.spec;
  return tf.reshape(normed(stack, finalNorm, 'final_norm', x), [-1, D]) as Tensor2D;
}

/** The weight of the head: [V, D] if it is tied, else [D, V]. */
export const headOf = (stack: Stack): Tensor2D => stack.weight(stack.spec.head.tied ? 'embedding' : 'head') as Tensor2D;

/** The stream [.., D] to logits [.., V]. */
export function leave(stack: Stack, x: Tensor): Tensor {
  const logits = tf.matMul(last(stack, x), headOf(stack), false, stack.spec.head.tied);
  return tf.reshape(logits, [...x.shape.slice(0, -1), -1]);
}

/** The stream [B, T, D] to the mean loss against targets [B, T], graded where the mask is 1. */
export const leaveWithLoss = (
  stack: Stack,
  x: Tensor,
  targets: Tensor,
  mask: Tensor | undefined,
  labelSmoothing: number,
): Scalar => linearCrossEntropy(last(stack, x), headOf(stack), stack.spec.head.tied, targets, mask, labelSmoothing);

function normed(stack: Stack, norm: Norm, name: string, x: Tensor): Tensor {
  if (norm === 'rms') return rmsNorm(x, stack.weight(name), NORM_EPSILON);
  if (norm === 'layer') return layerNorm(x, stack.weight(name), stack.weight(`${name}_bias`), NORM_EPSILON);
  return x;
}

/** The stream between two blocks: `x`, and what the last block adds to it. The next norm makes the sum on its way. */
interface Flow {
  x: Tensor3D;
  more?: Tensor3D;
}
const settled = ({ x, more }: Flow): Tensor3D => (more ? (tf.add(x, more) as Tensor3D) : x);

/** One block of the stack: its forward or its step, on the normed stream. */
export type RunBlock = (block: PlannedBlock, x: Tensor3D) => Tensor3D;

/** One block with its norm before it and its residual around it. */
function around(stack: Stack, block: PlannedBlock, flow: Flow, run: RunBlock): Flow {
  const name = `layers.${block.index}.norm`;
  if (block.norm === 'rms' && flow.more) {
    const { sum, u } = addRmsNorm(flow.x, flow.more, stack.weight(name), NORM_EPSILON);
    const y = run(block, u as Tensor3D);
    return block.residual ? { x: sum as Tensor3D, more: y } : { x: y };
  }
  const x = settled(flow);
  const y = run(block, normed(stack, block.norm, name, x) as Tensor3D);
  return block.residual ? { x, more: y } : { x: y };
}

/** The stream [B, T, D] through planned layers; `run` runs a single block. */
export const runPlanned = (stack: Stack, layers: readonly Planned[], x: Tensor3D, run: RunBlock): Tensor3D =>
  settled(flowThrough(stack, layers, { x }, run));

function flowThrough(stack: Stack, layers: readonly Planned[], start: Flow, run: RunBlock): Flow {
  return layers.reduce((flow, layer) => {
    if (layer.kind === 'block') return around(stack, layer, flow, run);
    const x = settled(flow);
    const outputs = layer.branches.map((branch) => runPlanned(stack, branch, x, run));
    const total = outputs.reduce((a, b) => tf.add(a, b) as Tensor3D);
    if (layer.combine === 'mean') return { x: tf.div(total, outputs.length) as Tensor3D };
    // Each branch made of residual blocks carries the stream; of the sum it is to be one part, not several.
    const carried = layer.branches.filter(carries).length;
    return { x: carried > 1 ? (tf.sub(total, tf.mul(x, carried - 1)) as Tensor3D) : total };
  }, start);
}

/** Whether the output of a branch is its input plus something. */
const carries = (branch: readonly Planned[]): boolean =>
  branch.every((layer) => (layer.kind === 'block' ? layer.residual : layer.branches.some(carries)));
