// Models to start from: small ones that train in about a minute on two cores, each after a published family.
import type { ModelPreset } from '../spec/inspection';
import { MODEL_FORMAT, type ModelSpec, type Node } from '../spec/model';

const attention = (options: Record<string, unknown>): Node => ({ block: 'softmax_attention', options });
const gatedMlp: Node = { block: 'gated_mlp' };
const mamba2: Node = { block: 'mamba2', options: { dState: 32, headDim: 32 } };

/** A model of width 128 with RMS norms and a tied head; rotary or recurrent blocks need no positions. */
const small = (name: string, layers: Node[], rest: Partial<ModelSpec> = {}): ModelSpec => ({
  format: MODEL_FORMAT,
  name,
  width: 128,
  positions: 'none',
  layers,
  finalNorm: 'rms',
  head: { tied: true },
  ...rest,
});

export const presets: readonly ModelPreset[] = [
  {
    id: 'gpt',
    title: 'GPT',
    summary: 'Attention with learned positions, layer norms and a plain MLP, as in GPT-2.',
    model: small(
      'GPT',
      [
        {
          repeat: 2,
          layers: [
            {
              block: 'softmax_attention',
              options: { heads: 4, ropeFraction: 0, qkvBias: true },
              norm: 'layer',
            },
            { block: 'mlp', options: { activation: 'gelu', bias: true }, norm: 'layer' },
          ],
        },
      ],
      { positions: 'learned', finalNorm: 'layer' },
    ),
  },
  {
    id: 'llama',
    title: 'Llama',
    summary: 'Rotary attention with shared key heads and a gated MLP, as in Llama.',
    model: small('Llama', [{ repeat: 2, layers: [attention({ heads: 4, kvHeads: 2 }), gatedMlp] }]),
  },
  {
    id: 'mamba2',
    title: 'Mamba-2',
    summary: 'Recurrent blocks alone, without attention or MLP.',
    model: small('Mamba-2', [{ repeat: 4, layers: [mamba2] }]),
  },
  {
    id: 'hybrid',
    title: 'Hybrid',
    summary: 'Mamba-2 and attention in turns, a gated MLP after each, as in Samba (with full attention).',
    model: small('Hybrid', [mamba2, gatedMlp, attention({ heads: 4, kvHeads: 2 }), gatedMlp]),
  },
  {
    id: 'nope',
    title: 'No positions',
    summary: 'The Llama model without any positions: only the causal mask tells first from last.',
    model: small('No positions', [
      { repeat: 2, layers: [attention({ heads: 4, kvHeads: 2, ropeFraction: 0 }), gatedMlp] },
    ]),
  },
];
