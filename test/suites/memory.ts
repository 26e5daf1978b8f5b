// What a training step really holds: bytes kept from its forward to its backward pass, and bytes that the captured step works in.
import type { Variable } from '@tensorflow/tfjs-core';
import { buildModel } from '../../src-main/engine/build';
import { makeOptimiser } from '../../src-main/engine/optimiser';
import { makeStep } from '../../src-main/engine/step';
import { tf } from '../../src-main/ops';
import { Recording } from '../../src-main/ops/native/recording';
import { nativeBackend } from '../../src-main/ops/native/register';
import type { ModelSpec } from '../../src-main/spec/model';

export interface Size {
  rows: number;
  tokens: number;
  vocabulary: number;
}
const build = (spec: ModelSpec, { tokens, vocabulary }: Size) =>
  buildModel(spec, { vocabulary, tokens, seed: 1, order: 'any' });

/** Bytes of what native kernels make in the forward pass and read in the backward pass. */
export function keptBytes(spec: ModelSpec, size: Size): number {
  const model = build(spec, size);
  const backend = nativeBackend()!;
  const recording = new Recording();
  let half = 0;
  const run = () =>
    tf.tidy(() => {
      const ids = tf.zeros([size.rows, size.tokens], 'int32') as tf.Tensor2D;
      tf.variableGrads(
        () => {
          const loss = model.loss(ids, ids, undefined, { training: true });
          half = recording.calls;
          return loss;
        },
        [...model.weights.values()] as Variable[],
      );
    });
  run(); // fills caches
  backend.recording = recording;
  try {
    run();
  } finally {
    backend.recording = undefined;
    model.dispose();
  }
  return recording.places.reduce(
    (sum, place) => sum + (place.kind === 'made' && place.first < half && place.last >= half ? place.bytes : 0),
    0,
  );
}

/** Bytes of the arena of a captured step, which is what a run shows beside weights and optimiser state. */
export async function arenaBytes(spec: ModelSpec, size: Size): Promise<number> {
  const model = build(spec, size);
  const weights = model.weights as Map<string, Variable>;
  const optimiser = makeOptimiser(
    { kind: 'sgd', lr: 1e-3, momentum: 0, nesterov: false, weightDecay: 0 },
    weights,
    model.specs,
  );
  const step = makeStep({ model, optimiser, clip: 1, labelSmoothing: 0, captured: true });
  const ids = new Int32Array(size.rows * size.tokens);
  const part = { size: size.rows, tokens: size.tokens, inputs: ids, targets: ids, mask: null };
  try {
    for (let i = 0; i < 5 && step.played === 0; i++) await step.run([part], 1e-3);
    if (step.played === 0) throw new Error('the step was not captured');
    return step.arenaBytes;
  } finally {
    step.dispose();
    optimiser.dispose();
    model.dispose();
  }
}
