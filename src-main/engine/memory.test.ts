// Memory of a run before it is built: what fits is let through, what can't is named with what to make smaller.
import { describe, expect, it } from 'vitest';
import { type RunDraft, runSchema } from '../spec/run';
import { memoryLimit, memoryNeed, memoryProblem } from './memory';

const spec = (width: number, more: Partial<RunDraft> = {}) =>
  runSchema.parse({
    format: 'archlab.run/1',
    model: { format: 'archlab.model/1', width, layers: [{ block: 'softmax_attention' }, { block: 'gated_mlp' }] },
    task: { id: 'text' },
    budget: { steps: 1 },
    ...more,
  });
const context = { tokens: 128, vocabulary: 256 };
const GIB = 2 ** 30;

describe('memory of a run', () => {
  it('counts weights with gradients and optimiser, and activations of one part of the batch', () => {
    const { weights, activations } = memoryNeed(spec(64), context);
    expect(memoryNeed(spec(64, { optimiser: { kind: 'sgd', momentum: 0 } }), context).weights).toBe(weights / 2);
    const wide = memoryNeed(spec(64, { batch: { size: 64, accumulation: 1 } }), context);
    const parts = memoryNeed(spec(64, { batch: { size: 64, accumulation: 4 } }), context);
    expect(parts.weights).toBe(weights);
    // A quarter of the activations, and the gradients of the parts before.
    const gradients = weights / 4;
    expect(Math.abs((parts.activations - gradients) / (activations + 0) - 1)).toBeLessThan(0.01);
    expect(parts.activations - gradients).toBeLessThan(wide.activations / 3);
    // In 16 bits a part of them, on the cpu device alone.
    const halves = memoryNeed(spec(64, { precision: 'bfloat16' }), context);
    expect(halves.activations).toBeLessThan(0.95 * activations);
    expect(memoryNeed(spec(64, { precision: 'bfloat16', device: 'webgpu' }), context).activations).toBe(activations);
  });

  it('lets through what fits, and says of what can not what to make smaller', () => {
    expect(memoryProblem(spec(64), context)).toBeUndefined();
    expect(memoryProblem(spec(16_384), context, 24 * GIB)).toMatchObject({
      path: 'run.model',
      message: expect.stringMatching(/^training wants about \d+(\.\d)? GiB of memory .* this machine has 24 GiB$/),
      hint: 'take a smaller width or fewer layers',
    });
    const wide = spec(64, { batch: { size: 65_536 } });
    expect(memoryProblem(wide, { ...context, tokens: 65_536 }, 24 * GIB)).toMatchObject({ path: 'run.batch.size' });
    expect(memoryProblem({ ...wide, device: 'webgpu' }, { ...context, tokens: 65_536 }, 24 * GIB)).toBeUndefined();
    expect(memoryLimit()).toBeGreaterThan(GIB / 4);
  });
});
