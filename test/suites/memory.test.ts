// Activation memory that the cost model says against what training steps hold: what each block keeps, and what the whole step works in.
import { beforeEach, describe, expect, it } from 'vitest';
import { blocks } from '../../src-main/blocks';
import { inspect, workingBytes } from '../../src-main/engine/cost';
import { useDevice } from '../../src-main/ops';
import { MODEL_FORMAT, type ModelSpec } from '../../src-main/spec/model';
import { PRECISIONS } from '../../src-main/spec/run';
import { arenaBytes, keptBytes, type Size } from './memory';

const model = (width: number, block: string, options: object, copies: number): ModelSpec => ({
  format: MODEL_FORMAT,
  width,
  positions: 'none',
  layers: Array.from({ length: copies }, () => ({ block, options: options as Record<string, unknown> })),
  finalNorm: 'rms',
  head: { tied: true },
});

const SMALL: Size & { width: number } = { width: 64, rows: 3, tokens: 48, vocabulary: 32 };
const LARGER = { width: 128, rows: 3, tokens: 130, vocabulary: 64 };

/** Options under which a block keeps something else than under its defaults. */
const VARIANTS: Record<string, object[]> = {
  atlas: [
    { memory: 'linear', featureMap: 'none', convSize: 0, chunk: 1 },
    { featureMap: 'monomial', headDim: 8 },
  ],
  causal_conv: [{ activation: 'gelu' }, { activation: 'tanh', size: 7 }],
  differential_attention: [{ headDim: 64, kvHeads: 1 }],
  gated_linear_attention: [{ convSize: 4 }],
  gla: [{ headDim: 48, ropeDim: 16 }],
  gru: [{ hidden: 96, bias: false }],
  gta: [{ headDim: 64, kvHeads: 4 }],
  linear_attention: [
    { featureMap: 'identity', normalize: false, outputNorm: 'none' },
    { kvHeads: 1 },
    { keyDim: 128, valueDim: 4, normalize: false },
  ],
  lstm: [{ project: false }],
  matrix_mixer: [
    { structure: 'dense', dataDependent: false },
    ...['toeplitz', 'vandermonde', 'cauchy', 'low_rank', 'attention'].map((structure) => ({ structure })),
    ...['toeplitz', 'vandermonde', 'cauchy', 'low_rank', 'attention', 'quasiseparable'].map((structure) => ({
      structure,
      dataDependent: false,
    })),
    { structure: 'vandermonde', dataDependent: false, vandermondeKind: 'learned' },
  ],
  memory_mosaic_persistent: [{ memories: 2 }, { memories: 8, slots: 32 }],
  mla: [{ nopeDim: 48, valueDim: 64 }],
  mlp: [{ activation: 'tanh', bias: true }, { activation: 'identity' }, { activation: 'relu2', multiple: 2 }],
  softmax_attention: [{ qkNorm: true }, { headDim: 64, kvHeads: 1, qkvBias: true }],
};
const cases = [...blocks.keys()].flatMap((block) => [
  { block, options: {}, sizes: [SMALL, LARGER] },
  ...(VARIANTS[block] ?? []).map((options) => ({ block, options, sizes: [SMALL] })),
]);
const within = (said: number, measured: number, share: number) => Math.abs(said - measured) <= share * measured;

beforeEach(async () => {
  await useDevice('cpu');
});

describe.each(cases)('$block $options', ({ block, options, sizes }) => {
  it.each(sizes)('keeps for its backward pass what it says, width $width', ({ width, ...size }) => {
    const bytes = (copies: number, rows: number) => keptBytes(model(width, block, options, copies), { ...size, rows });
    // What two more copies add, of two more sequences: the rest of the model and what does not grow with them drops out.
    const added = (rows: number) => (bytes(3, rows) - bytes(1, rows)) / 2;
    const { nodes, problems } = inspect(model(width, block, options, 3), size);
    expect(problems.filter(({ message }) => !message.includes('later tokens'))).toEqual([]);
    const said = nodes[2].savedBytes;
    const measured = (added(size.rows + 2) - added(size.rows)) / 2;
    expect(within(said, measured, 0.02), `says ${said / 4 / size.tokens} numbers a token, keeps ${measured / 4 / size.tokens}`).toBe(true); // biome-ignore format: one line
  });

  it.each(sizes)('works in the memory that the window shows, width $width', async ({ width, ...size }) => {
    const spec = model(width, block, options, 3);
    for (const precision of PRECISIONS) {
      await useDevice('cpu', { precision });
      const said = workingBytes(inspect(spec, size).total.held[precision], size.rows);
      const measured = await arenaBytes(spec, size);
      expect(within(said, measured, 0.1), `in ${precision} says ${said} bytes, works in ${measured}: ${said / measured}`).toBe(true); // biome-ignore format: one line
    }
  });
});

it('says the memory of groups, branches and mixed stacks too', async () => {
  const block = (id: string, norm?: 'layer') => ({ block: id, ...(norm && { norm }) });
  const spec: ModelSpec = {
    ...model(64, 'mlp', {}, 0),
    positions: 'learned',
    layers: [
      { repeat: 3, layers: [block('mamba2'), block('gated_mlp')] },
      block('softmax_attention', 'layer'),
      { parallel: [[block('mlp')], [block('causal_conv', 'layer'), block('gru')]], combine: 'mean' },
    ],
    finalNorm: 'layer',
    head: { tied: false },
  };
  for (const precision of PRECISIONS) {
    await useDevice('cpu', { precision });
    const said = workingBytes(inspect(spec, SMALL).total.held[precision], SMALL.rows);
    const measured = await arenaBytes(spec, SMALL);
    expect(within(said, measured, 0.1), `in ${precision} says ${said} bytes, works in ${measured}: ${said / measured}`).toBe(true); // biome-ignore format: one line
  }
});
