// The example of the first start: attention and a state-space model on the same text, in under two minutes on two cores.
import type { Node } from '../spec/model';
import type { RunDraft } from '../spec/run';

/**
 * Two small models of the same number of parameters, within 1 %, that read the same batches of Moby Dick in the same order.
 * Mamba-2 has more weights than attention at a width; attention's MLP is wider by as many.
 */
export function exampleRuns(): RunDraft[] {
  return [
    example(
      'Attention',
      { block: 'softmax_attention', options: { heads: 4, headDim: 16 } },
      { block: 'gated_mlp', options: { hidden: 286 } },
    ),
    example('Mamba-2', { block: 'mamba2' }, { block: 'gated_mlp' }),
  ];
}

const example = (name: string, ...layers: Node[]): RunDraft => ({
  format: 'archlab.run/1',
  name: `Example: ${name}`,
  model: {
    format: 'archlab.model/1',
    name,
    width: 64,
    positions: 'none',
    layers: [{ repeat: 2, layers }],
    finalNorm: 'rms',
    head: { tied: true },
  },
  task: { id: 'text', options: { source: 'moby-dick', vocabulary: 'bytes', tokens: 128 } },
  optimiser: { kind: 'adamw', lr: 4e-3 },
  schedule: { kind: 'cosine', warmup: 20, final: 0.1 },
  budget: { steps: 600 },
  batch: { size: 8 },
  evaluation: { every: 100, batches: 4 },
  samples: { every: 200, length: 160 },
  checkpoint: { every: 200 },
  seed: 1,
});
