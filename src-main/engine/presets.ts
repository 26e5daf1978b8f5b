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

/** Two layers of a mixer, a gated MLP after each. */
const decoder = (name: string, block: string, options: Record<string, unknown>): ModelSpec =>
  small(name, [{ repeat: 2, layers: [{ block, options }, gatedMlp] }]);

/** A layer of xLSTM's matrix memory; xLSTM and RWKV stand on layer norms. */
const mlstm: Node = { block: 'mlstm', options: { inner: 128 }, norm: 'layer' };
const layerNormed = (block: string, options: Record<string, unknown> = {}): Node => ({ block, options, norm: 'layer' });

export const presets: readonly ModelPreset[] = [
  {
    id: 'gpt',
    title: 'GPT',
    summary: 'Attention with learned positions, layer norms and a plain MLP, as in GPT-2.',
    translations: {
      ru: { title: 'GPT', summary: 'Внимание с обучаемыми позициями, LayerNorm и простой MLP, как в GPT-2.' },
    },
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
    translations: {
      ru: { title: 'Llama', summary: 'Внимание с RoPE и общими головами ключей, MLP с вентилем, как в Llama.' },
    },
    model: small('Llama', [{ repeat: 2, layers: [attention({ heads: 4, kvHeads: 2 }), gatedMlp] }]),
  },
  {
    id: 'mamba2',
    title: 'Mamba-2',
    summary: 'Recurrent blocks alone, without attention or MLP.',
    translations: { ru: { title: 'Mamba-2', summary: 'Одни рекуррентные блоки, без внимания и MLP.' } },
    model: small('Mamba-2', [{ repeat: 4, layers: [mamba2] }]),
  },
  {
    id: 'hydra',
    title: 'Hydra (masked)',
    summary: 'Scans in both directions that fill in masked tokens, as in Hydra’s masked-language model.',
    translations: {
      ru: {
        title: 'Hydra (маски)',
        summary: 'Проходы в обе стороны, которые заполняют скрытые токены, как в языковой модели Hydra с масками.',
      },
    },
    objective: 'masked',
    model: small('Hydra', [{ repeat: 4, layers: [{ block: 'hydra', options: { dState: 32, headDim: 32 } }] }]),
  },
  {
    id: 'matrix_mixer',
    title: 'Matrix mixer (masked)',
    summary:
      'A low-rank matrix that the tokens make mixes them both ways, a gated MLP after each; fills in masked tokens.',
    translations: {
      ru: {
        title: 'Матричный смеситель (маски)',
        summary:
          'Матрица малого ранга, созданная самими токенами, смешивает их в обе стороны, после каждой MLP с вентилем; заполняет скрытые токены.',
      },
    },
    objective: 'masked',
    model: decoder('Matrix mixer', 'matrix_mixer', { structure: 'low_rank', headDim: 64, maxSeqLen: 128 }),
  },
  {
    id: 'hybrid',
    title: 'Hybrid',
    summary: 'Mamba-2 and attention over a sliding window in turns, a gated MLP after each, as in Samba.',
    translations: {
      ru: {
        title: 'Гибрид',
        summary: 'Mamba-2 и внимание в скользящем окне по очереди, после каждого MLP с вентилем, как в Samba.',
      },
    },
    model: small('Hybrid', [mamba2, gatedMlp, attention({ heads: 4, kvHeads: 2, window: 32 }), gatedMlp]),
  },
  {
    id: 'nope',
    title: 'No positions',
    summary: 'The Llama model without any positions: only the causal mask tells first from last.',
    translations: {
      ru: {
        title: 'Без позиций',
        summary: 'Модель Llama без всяких позиций: порядок видно только по каузальной маске.',
      },
    },
    model: small('No positions', [
      { repeat: 2, layers: [attention({ heads: 4, kvHeads: 2, ropeFraction: 0 }), gatedMlp] },
    ]),
  },
  {
    id: 'differential',
    title: 'Differential Transformer',
    summary: 'Attention that subtracts a second map from the first, and a gated MLP.',
    translations: {
      ru: {
        title: 'Дифференциальный трансформер',
        summary: 'Внимание, которое вычитает из первой карты вторую, и MLP с вентилем.',
      },
    },
    model: decoder('Differential Transformer', 'differential_attention', { heads: 2 }),
  },
  {
    id: 'mla',
    title: 'MLA',
    summary: 'Multi-head latent attention and a gated MLP, as in DeepSeek-V2.',
    translations: {
      ru: { title: 'MLA', summary: 'Многоголовое латентное внимание и MLP с вентилем, как в DeepSeek-V2.' },
    },
    model: decoder('MLA', 'mla', { heads: 4, kvRank: 64, queryRank: 96 }),
  },
  {
    id: 'gla',
    title: 'GLA',
    summary: 'Grouped latent attention with two latent heads, and a gated MLP.',
    translations: {
      ru: { title: 'GLA', summary: 'Групповое латентное внимание с двумя латентными головами и MLP с вентилем.' },
    },
    model: decoder('GLA', 'gla', { heads: 4, latentHeads: 2, queryRank: 96 }),
  },
  {
    id: 'gta',
    title: 'GTA',
    summary: 'Grouped-tied attention, whose values are also keys, and a gated MLP.',
    translations: {
      ru: { title: 'GTA', summary: 'Групповое связанное внимание, где значения служат и ключами, и MLP с вентилем.' },
    },
    model: decoder('GTA', 'gta', { heads: 4, kvHeads: 2 }),
  },
  {
    id: 'linear_attention',
    title: 'Linear attention',
    summary: 'Running sums instead of a cache, a gated MLP after each.',
    translations: {
      ru: { title: 'Линейное внимание', summary: 'Накопленные суммы вместо кэша, после каждого блока MLP с вентилем.' },
    },
    model: decoder('Linear attention', 'linear_attention', { heads: 4 }),
  },
  {
    id: 'gated_linear_attention',
    title: 'Gated linear attention',
    summary: 'Linear attention whose key channels fade as the tokens say, with short convolutions.',
    translations: {
      ru: {
        title: 'Линейное внимание с вентилем',
        summary: 'Линейное внимание, каналы ключей которого затухают по воле токенов, с короткими свёртками.',
      },
    },
    model: decoder('Gated linear attention', 'gated_linear_attention', { heads: 4, convSize: 4 }),
  },
  {
    id: 'xlstm',
    title: 'xLSTM [7:1]',
    summary: 'Seven matrix memories and one scalar memory with its MLP, as in xLSTM.',
    translations: {
      ru: { title: 'xLSTM [7:1]', summary: 'Семь блоков матричной памяти и один скалярной со своим MLP, как в xLSTM.' },
    },
    model: small(
      'xLSTM [7:1]',
      [
        mlstm,
        layerNormed('slstm', { recurrentInit: 'uniform' }),
        layerNormed('gated_mlp', { activation: 'gelu', hidden: 166 }),
        { repeat: 6, layers: [mlstm] },
      ],
      { finalNorm: 'layer' },
    ),
  },
  {
    id: 'rwkv4',
    title: 'RWKV-4',
    summary: 'Time and channel mixing in turns, as in RWKV-4.',
    translations: {
      ru: { title: 'RWKV-4', summary: 'Смешивание по времени и смешивание каналов по очереди, как в RWKV-4.' },
    },
    model: small('RWKV-4', [{ repeat: 2, layers: [layerNormed('rwkv4'), layerNormed('rwkv4_channel_mix')] }], {
      finalNorm: 'layer',
      head: { tied: false },
    }),
  },
  {
    id: 'rwkv7',
    title: 'RWKV-7',
    summary: 'A delta rule with values handed on from the first layer, as in RWKV-7.',
    translations: {
      ru: { title: 'RWKV-7', summary: 'Дельта-правило со значениями, переданными из первого слоя, как в RWKV-7.' },
    },
    model: small(
      'RWKV-7',
      [{ repeat: 2, layers: [layerNormed('rwkv7', { headDim: 32 }), layerNormed('rwkv7_channel_mix')] }],
      { finalNorm: 'layer', head: { tied: false } },
    ),
  },
  {
    id: 'memory_mosaic',
    title: 'Memory Mosaic',
    summary: 'Contextual and persistent memories in turns, without attention, MLP or positions.',
    translations: {
      ru: {
        title: 'Memory Mosaic',
        summary: 'Контекстная и постоянная память по очереди, без внимания, MLP и позиций.',
      },
    },
    model: small(
      'Memory Mosaic',
      [
        {
          repeat: 2,
          layers: [layerNormed('memory_mosaic', { heads: 4 }), layerNormed('memory_mosaic_persistent', { heads: 4 })],
        },
      ],
      { finalNorm: 'layer' },
    ),
  },
  {
    id: 'atlas',
    title: 'ATLAS',
    summary: 'Deep memories trained while they read, a gated MLP after each; slow to train.',
    translations: {
      ru: {
        title: 'ATLAS',
        summary: 'Глубокая память, обучаемая во время чтения, после каждой MLP с вентилем; учится медленно.',
      },
    },
    model: decoder('ATLAS', 'atlas', { heads: 4, headDim: 16 }),
  },
  {
    id: 'lstm',
    title: 'LSTM',
    summary: 'Three LSTM layers, the baseline from before the Transformer.',
    translations: { ru: { title: 'LSTM', summary: 'Три слоя LSTM: точка отсчёта из времён до трансформера.' } },
    model: small('LSTM', [{ repeat: 3, layers: [{ block: 'lstm' }] }]),
  },
  {
    id: 'gru',
    title: 'GRU',
    summary: 'Three GRU layers, the lighter recurrent baseline.',
    translations: { ru: { title: 'GRU', summary: 'Три слоя GRU: рекуррентная точка отсчёта полегче.' } },
    model: small('GRU', [{ repeat: 3, layers: [{ block: 'gru' }] }]),
  },
];
