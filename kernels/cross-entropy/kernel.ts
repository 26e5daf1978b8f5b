// Softmax cross-entropy against target ids, in nats, meaned over the graded rows.
import { type Attrs, defineKernel, type Kernel, type Shape, type Shapes, sizeOf } from '../core/kernel';

const classesOf = (logits: Shape): number => logits[logits.length - 1];
const rowsOf = (logits: Shape): number => sizeOf(logits.slice(0, -1));
const smoothing = (attrs: Attrs): number => Number(attrs.labelSmoothing ?? 0);
const ints = ({ logits }: Shapes) => [rowsOf(logits), classesOf(logits)];

/**
 * logits [.., V], targets [..] (int32), mask [..] to loss [] and logsumexp [rows]. The loss is Σ mask · row loss / Σ mask; without a mask all rows
 * count 1. A row whose mask is 0 adds exactly nothing, whatever its logits and target; if all are 0 the loss is 0.
 * Attribute `labelSmoothing` ε (default 0): the target's share is 1 - ε + ε/V, every other class's ε/V.
 */
export const crossEntropy = defineKernel({
  name: 'CrossEntropy',
  inputs: ['logits', 'targets', 'mask?'],
  dtypes: { targets: 'int32' },
  outputs: ({ logits }) => ({ loss: [], logsumexp: [rowsOf(logits)] }),
  ints,
  floats: (attrs) => [smoothing(attrs)],
  refuses({ logits, targets, mask }, attrs) {
    if (logits.length < 1) return 'logits need at least one axis, the classes, but came as a scalar';
    for (const [name, shape] of Object.entries({ targets, mask }))
      if (shape && sizeOf(shape) !== rowsOf(logits))
        return `${name} has ${sizeOf(shape)} entries, logits [${logits}] have ${rowsOf(logits)} rows`;
    if (!(smoothing(attrs) >= 0 && smoothing(attrs) < 1))
      return `labelSmoothing must be from 0 to below 1, not ${attrs.labelSmoothing}`;
    return undefined;
  },
  gradient: {
    kernel: 'CrossEntropyGrad',
    inputs: ['logits', 'targets', 'mask'],
    outputs: ['logsumexp'],
    cotangents: ['loss'],
    of: ['logits'],
  },
});

export const crossEntropyGrad = defineKernel({
  name: 'CrossEntropyGrad',
  inputs: ['logits', 'targets', 'mask?', 'logsumexp', 'dloss'],
  dtypes: { targets: 'int32' },
  outputs: ({ logits }) => ({ dlogits: logits }),
  ints,
  floats: (attrs) => [smoothing(attrs)],
});

export const kernels: Kernel[] = [crossEntropy, crossEntropyGrad];
