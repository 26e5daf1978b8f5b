// The causality check finds the first block that looks ahead, wherever it stands, and none in causal models.
import { beforeEach, describe, expect, it } from 'vitest';
import { memoryFacts, useDevice } from '../ops';
import { sayCausality } from '../spec/causality';
import type { ModelSpec, Node } from '../spec/model';
import { checkCausality } from './causality';
import { presets } from './presets';

const model = (layers: Node[], rest: Partial<ModelSpec> = {}): ModelSpec => ({
  format: 'archlab.model/1',
  width: 16,
  positions: 'none',
  layers,
  finalNorm: 'rms',
  head: { tied: true },
  ...rest,
});
const context = { vocabulary: 50, tokens: 80 };
const ahead: Node = { block: 'softmax_attention', options: { heads: 2, causal: false } };
const mamba: Node = { block: 'mamba2', options: { headDim: 8, dState: 8 } };

beforeEach(() => useDevice('cpu', { threads: 1 }).then(() => {}));

describe('the causality check', () => {
  it('names the first block that looks ahead, and not those that only read what it wrote', async () => {
    const before = memoryFacts().tensors;
    const found = await checkCausality(model([mamba, { repeat: 2, layers: [mamba, ahead] }, mamba]), context);
    expect(found.leak).toMatchObject({ block: 'softmax_attention', index: 2, path: 'model.layers[1].layers[1]' });
    expect(found.leak!.moved).toBeLessThan(found.leak!.token);
    expect(sayCausality(found)).toMatch(
      /^softmax_attention lets later tokens through \(block 3, model\.layers\[1\]\.layers\[1\]\): changing token \d+ of 80 moves/,
    );
    const branched = await checkCausality(
      model([{ parallel: [[mamba], [{ block: 'hydra', options: { headDim: 8, dState: 4 } }]], combine: 'sum' }]),
      context,
    );
    expect(branched.leak).toMatchObject({ block: 'hydra', index: 1, path: 'model.layers[0].parallel[1][0]' });
    expect(memoryFacts().tensors).toBe(before);
  });

  it('finds nothing in the presets that predict the next token, and the block in the others', async () => {
    for (const { id, model, objective } of presets) {
      // ATLAS trains a memory a token: a short sequence shows as much.
      const { leak, worst } = await checkCausality(model, { vocabulary: 50, tokens: id === 'atlas' ? 20 : 70 });
      if (objective === 'masked') expect(leak?.block, id).toBe(id);
      else {
        expect(leak, id).toBeNull();
        expect(worst, id).toBeLessThan(1e-6);
      }
    }
  });

  it('reads short contexts, and refuses what can not be built', async () => {
    expect(await checkCausality(model([mamba]), { vocabulary: 2, tokens: 1 })).toEqual({
      tokens: 1,
      changed: [],
      worst: 0,
      leak: null,
    });
    expect((await checkCausality(model([ahead]), { vocabulary: 2, tokens: 2 })).leak).toMatchObject({
      token: 1,
      moved: 0,
    });
    await expect(checkCausality(model([]), context)).rejects.toThrow('the stack is empty');
    const wide = model([{ repeat: 200, layers: [{ block: 'gated_mlp' }] }], { width: 16_384 });
    await expect(checkCausality(wide, context)).rejects.toThrow(/GiB of memory .*; make the model smaller/);
  });
});
