// The shader of token blends against the plain loops: odd lengths and widths, one token, a token before the first, none at all.
import { beforeAll, describe, it, vi } from 'vitest';
import { COUNTS, kernels } from '../../../kernels/token-mix/kernel';
import { plain } from '../../../kernels/token-mix/plain';
import { agree, openForTests, testable } from './testing';

// Shader compilers get slow when other tests share the machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const named = (name: string) => kernels.find((kernel) => kernel.name === name)!;

describe.runIf(testable)('TokenMix', () => {
  beforeAll(async () => {
    await openForTests();
  });

  it.each([
    [1, 1, 1],
    [2, 1, 3],
    [3, 7, 1],
    [1, 130, 65],
    [0, 4, 6],
  ])('agrees with the plain loops for %i sequences of %i tokens with %i channels', async (B, T, D) => {
    for (const count of COUNTS)
      for (const weighs of ['before', 'current'])
        for (const before of [false, true]) {
          const shares = Object.fromEntries(Array.from({ length: count }, (_, i) => [`w${i}`, [D]]));
          await agree(
            {
              forward: named(`TokenMix${count}`),
              gradient: named(`TokenMix${count}Grad`),
              plain,
              shapes: { x: [B, T, D], ...(before && { before: [B, D] }), ...shares },
              attrs: { weighs },
              floor: B * T * D === 1 ? 1 : undefined, // of a single number, terms of up to 2 cancel
            },
            // Sums of up to 6 products, and of shares over up to 130 tokens.
            2e-6,
          );
        }
  });
});
