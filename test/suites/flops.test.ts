// Parameters and FLOPs that every block says: parameters against built models, the backward pass against the matrix products of its composition.
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { blocks } from '../../src-main/blocks';
import type { AnyBlock } from '../../src-main/blocks/define';
import { buildModel } from '../../src-main/engine/build';
import { inspect } from '../../src-main/engine/cost';
import { tf, useDevice } from '../../src-main/ops';
import { MODEL_FORMAT, type ModelSpec } from '../../src-main/spec/model';
import { complete } from '../../src-main/spec/options';
import { prepare, productFlops } from './sequence';

/** Two chunks of the scans at least: the last one's part of the state is made and read by nobody, so of one chunk alone it would have no gradient. */
const SIZES: [width: number, T: number][] = [
  [64, 96],
  [128, 65],
];

// What is made again in the gradient to save memory is no cost of the block: RWKV-7's rule is counted as its equation is written, which keeps all states.
vi.mock(import('../../src-main/blocks/wkv7/reference'), async (original) => {
  const actual = await original();
  return { ...actual, wkv: (rule) => actual.recurrent(rule).y };
});

/** Products of one forward pass over a sequence that may look everywhere, and of the gradients of all weights and the input. */
async function products(block: AnyBlock, width: number, T: number, more: Record<string, unknown> = {}) {
  const given = { width, T, B: 1, options: { ...('causal' in block.options && { causal: false }), ...more } };
  const run = (backward: boolean) =>
    productFlops(() => {
      const { x, weights, options } = prepare(block, given);
      const names = Object.keys(weights);
      const forward = (own: Record<string, tf.Tensor>) =>
        block.layer.forward(own.x as tf.Tensor3D, own, { options, shared: {} });
      if (!backward) return forward({ ...weights, x });
      const slopes = tf.grads((...all: tf.Tensor[]) => {
        const own = Object.fromEntries(['x', ...names].map((name, i) => [name, all[i]]));
        return tf.sum(forward(own));
      });
      return tf.addN(slopes([x, ...names.map((name) => weights[name])]).map((slope) => tf.sum(slope)));
    });
  const forward = await run(false);
  const said = block.cost(complete(block.options, given.options) as Record<string, unknown>, width, T);
  return { forward, backward: (await run(true)) - forward, said };
}

/** Elementwise terms of the specs aside, of which each pass has its share: a block's own test counts those of the forward pass. */
function expectCounted({ forward, backward, said }: Awaited<ReturnType<typeof products>>): void {
  if (forward === 0) {
    expect(backward).toBe(0);
    return;
  }
  const measured = backward / forward;
  const counted = said.backwardFlops / said.forwardFlops;
  expect(Math.abs(measured / counted - 1)).toBeLessThan(0.01);
}

beforeAll(async () => {
  await useDevice('cpu');
});

describe.each([...blocks.values()].map((block) => ({ block, id: block.id })))('$id', ({ block, id }) => {
  it.each(SIZES)('has the parameters that it says, width %i', (width, tokens) => {
    const spec: ModelSpec = {
      format: MODEL_FORMAT,
      width,
      positions: 'learned',
      layers: [{ block: id }, { block: id, norm: 'layer' }],
      finalNorm: 'layer',
      head: { tied: false },
    };
    const context = { tokens, vocabulary: 13 };
    const model = buildModel(spec, { ...context, seed: 1, order: 'any' });
    expect(inspect(spec, context).total.parameters).toBe(model.parameters);
    model.dispose();
  });

  it.each(SIZES)(
    'counts its backward pass by its forward pass as its products are, width %i, T %i',
    async (width, T) => {
      expectCounted(await products(block, width, T));
    },
  );
});

const STRUCTURES = ['dense', 'toeplitz', 'vandermonde', 'cauchy', 'low_rank', 'attention', 'quasiseparable'];

describe('matrix_mixer', () => {
  it.each([
    ...STRUCTURES.map((structure) => ({ structure, dataDependent: false })),
    ...STRUCTURES.slice(1).map((structure) => ({ structure, dataDependent: true })),
    { structure: 'vandermonde', dataDependent: false, vandermondeKind: 'learned' },
  ])('counts its backward pass as its products are: %j', async (options) => {
    expectCounted(await products(blocks.get('matrix_mixer')!, 64, 96, { ...options, maxSeqLen: 96 }));
  });
});
