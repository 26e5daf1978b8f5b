// The models that are measured: three sizes, and every block that mixes tokens in the same frame.
import { blocks } from '../blocks';
import type { AnyBlock } from '../blocks/define';
import { MODEL_FORMAT, type ModelSpec, type Node } from '../spec/model';
import { complete } from '../spec/options';
import type { OptimiserSpec } from '../spec/run';
import type { Part } from './gradient';

export type Precision = 'float32' | 'bfloat16';
export const PRECISIONS: readonly Precision[] = ['float32', 'bfloat16'];

export interface BenchConfig {
  layers: number;
  width: number;
  tokens: number;
  batch: number;
  /** Of a block that counts its heads. */
  headDim: number;
}
/** The sizes that are compared over time; 2048 tokens a step each. */
export const CONFIGS: Record<string, BenchConfig> = {
  S: { layers: 4, width: 128, tokens: 128, batch: 16, headDim: 32 },
  M: { layers: 6, width: 256, tokens: 256, batch: 8, headDim: 64 },
  L: { layers: 8, width: 512, tokens: 512, batch: 4, headDim: 64 },
};
export const VOCABULARY = 256;
export const ADAMW: OptimiserSpec = {
  kind: 'adamw',
  lr: 1e-3,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  weightDecay: 0.1,
};

/** Every block that mixes tokens and can be placed. */
export const BLOCKS: readonly string[] = [...blocks.values()]
  .filter(({ role }) => role === 'mixer')
  .map(({ id }) => id);
/** Those that can be decoded token by token. */
export const DECODABLE: readonly string[] = BLOCKS.filter((id) => blocks.get(id)!.layer.step !== undefined);

/** A block's options at a size: heads of the size's width where heads are counted, the rest as the palette gives them. */
export function benchOptions(block: AnyBlock, { width, headDim, tokens }: BenchConfig): Record<string, unknown> {
  const usual = complete(block.options, {}) as Record<string, unknown>;
  const options: Record<string, unknown> = {};
  // Differential attention has two maps a head, so half as many heads compare.
  const heads = width / headDim / (block.id === 'differential_attention' ? 2 : 1);
  if ('heads' in usual && !(Number(usual.headDim) > 0)) options.heads = heads;
  if ('maxSeqLen' in usual) options.maxSeqLen = tokens;
  return options;
}

/** A stack of `layers` pairs: the block that mixes tokens, then a gated MLP, each behind an RMS norm. */
export function benchModel(id: string, config: BenchConfig): ModelSpec {
  const block = blocks.get(id);
  if (!block) throw new Error(`bench: unknown block ${id}; those that mix tokens are ${BLOCKS.join(', ')}`);
  const mixer: Node = { block: id, options: benchOptions(block, config) };
  return {
    format: MODEL_FORMAT,
    name: id,
    width: config.width,
    positions: 'none',
    layers: [{ repeat: config.layers, layers: [mixer, { block: 'gated_mlp' }] }],
    finalNorm: 'rms',
    head: { tied: true },
  };
}

/** Repeatable token ids below VOCABULARY. */
export function tokenIds(count: number): Int32Array {
  let state = 1;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

/** A batch in which each token's target is the next one. */
export function benchPart({ tokens, batch }: Pick<BenchConfig, 'tokens' | 'batch'>): Part {
  const ids = tokenIds(batch * (tokens + 1));
  const rows = (shift: number) =>
    Int32Array.from(
      { length: batch * tokens },
      (_, i) => ids[Math.floor(i / tokens) * (tokens + 1) + (i % tokens) + shift],
    );
  return { size: batch, tokens, inputs: rows(0), targets: rows(1), mask: null };
}
