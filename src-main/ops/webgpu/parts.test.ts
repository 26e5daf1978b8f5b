// The shaders of what stands around and inside mixers against the plain loops: norms of heads, blocks of channels, sums between pairs of tokens.
import { beforeAll, describe, it, vi } from 'vitest';
import { blockDiagonal, blockDiagonalGrad } from '../../../kernels/block-diagonal/kernel';
import { plain as plainBlocks } from '../../../kernels/block-diagonal/plain';
import { headNorm, headNormGrad } from '../../../kernels/head-norm/kernel';
import { plain as plainHeadNorm } from '../../../kernels/head-norm/plain';
import { reciprocals, waves } from '../../../kernels/pair-sums/testing';
import { agree, openForTests, testable } from './testing';

// Shader compilers get slow when other tests share the machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

describe.runIf(testable)('shaders of parts', () => {
  beforeAll(async () => {
    await openForTests();
  });

  it.each([
    [1, 1, 1],
    [3, 2, 1],
    [7, 15, 3],
    [70, 51, 3],
    [2, 260, 2],
    [0, 6, 2],
  ])('HeadNorm of %i rows of %i channels in %i heads', async (rows, D, heads) => {
    const kernel = { forward: headNorm, gradient: headNormGrad, plain: plainHeadNorm };
    const behind = { bias: { bias: [D] }, skip: { skip: [D], side: [rows, D] }, gate: { gate: [rows, D] } };
    // A head of one channel is its own mean: what comes out is 0, and errors are held to the size of the terms.
    const check = { ...kernel, attrs: { heads, epsilon: 1e-3 }, floor: D === heads ? 1 : undefined };
    // Means and variances of up to 130 float32 numbers, sums of gradients over up to 70 rows.
    for (const parts of [
      {},
      behind.bias,
      { ...behind.skip, ...behind.gate },
      Object.assign({}, ...Object.values(behind)),
    ])
      await agree({ ...check, shapes: { x: [rows, D], weight: [D], ...parts } }, 4e-6);
  });

  it.each([
    [1, 1, 1, 1],
    [7, 3, 4, 4],
    [6, 4, 3, 5],
    [300, 5, 4, 4],
    [130, 3, 17, 20],
    [0, 3, 3, 2],
  ])('BlockDiagonal of %i rows, %i blocks of %i by %i channels', async (rows, N, I, O) => {
    const kernel = { forward: blockDiagonal, gradient: blockDiagonalGrad, plain: plainBlocks };
    const shapes = { x: [rows, N * I], w: [N, I, O] };
    // Float32 products of up to 20 channels, and sums over up to 300 rows.
    await agree({ ...kernel, shapes }, 3e-6);
    await agree({ ...kernel, shapes: { ...shapes, bias: [N * O] } }, 3e-6);
  });

  it.each([
    [1, 1, 1],
    [3, 2, 1],
    [2, 63, 3],
    [1, 65, 5],
    [1, 130, 2],
  ])('WaveSums and ReciprocalSums of %i matrices, %i tokens, %i channels', async (...size) => {
    // As the native loops are held to. One token knows no distance: its slope is 0.
    for (const turns of [1e-3, 1, 100]) await agree({ ...waves(size, turns), floor: 1e-3 }, 3e-6);
    await agree(reciprocals(size), 3e-6);
  });

  it('WaveSums drops whole turns exactly, however many', async () => {
    const check = waves([1, 40, 3], 1);
    const far = { turns: check.inputs.turns.map((u) => Math.round(128 * u) / 128 + 65536) };
    await agree({ ...check, inputs: far }, 3e-6);
  });
});
