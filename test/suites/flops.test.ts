// Parameters and FLOPs that every block says: parameters against built models, the backward pass against the matrix products of its composition.
import { beforeAll, describe, expect, it } from 'vitest';
import { blocks } from '../../src-main/blocks';
import type { AnyBlock } from '../../src-main/blocks/define';
import { buildModel } from '../../src-main/engine/build';
import { inspect } from '../../src-main/engine/cost';
import { tf, useDevice } from '../../src-main/ops';
import { MODEL_FORMAT, type ModelSpec } from '../../src-main/spec/model';
import { complete } from '../../src-main/spec/options';
import { prepare, productFlops } from './sequence';

/** Blocks whose kernels make something again in the gradient, which a composition keeps: their backward passes count more. */
const AGAIN = ['hydra', 'mamba2', 'matrix_mixer', 'rwkv7'];
const SIZES: [width: number, T: number][] = [
  [64, 48],
  [128, 65],
];

/** Products of one forward pass over a sequence that may look everywhere, and of the gradients of all weights and the input. */
async function products(block: AnyBlock, width: number, T: number) {
  const given = { width, T, B: 1, options: 'causal' in block.options ? { causal: false } : {} };
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
      const { forward, backward, said } = await products(block, width, T);
      if (forward === 0) return expect(backward).toBe(0);
      // Elementwise terms of the specs aside, of which each pass has its share: a block's own test counts those of the forward pass.
      const measured = backward / forward;
      const counted = said.backwardFlops / said.forwardFlops;
      if (AGAIN.includes(id)) return expect(measured).toBeLessThan(counted);
      return expect(Math.abs(measured / counted - 1)).toBeLessThan(0.01);
    },
  );
});
