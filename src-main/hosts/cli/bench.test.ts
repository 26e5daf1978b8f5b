// How the bench command reads what it is asked, before anything is measured.
import { describe, expect, it } from 'vitest';
import { type BenchCommand, bench, optionsOf } from './bench';

const asked: BenchCommand = { device: 'cpu', seconds: 1, longest: 5, contexts: '256,1024', lengths: '1024, 256' };

describe('bench', () => {
  it('reads lists and shortcuts', () => {
    expect(optionsOf({ ...asked, only: 'peak, matmul', precision: 'float32', blocks: 'mamba2' })).toMatchObject({
      only: ['peak', 'matmul'],
      precisions: ['float32'],
      blocks: ['mamba2'],
      contexts: [256, 1024],
      lengths: [256, 1024],
    });
    expect(optionsOf({ ...asked, decode: true, scaling: true }).only).toEqual(['decode', 'scaling']);
    const bare = optionsOf({ device: 'cpu', longest: 5 });
    expect(bare).toMatchObject({ seconds: undefined, contexts: undefined, lengths: undefined, brief: true });
    for (const [more, brief] of [
      [{ all: true }, false],
      [{ json: true }, false],
      [{ json: true, brief: true }, true],
    ] as const)
      expect(optionsOf({ ...asked, ...more }).brief).toBe(brief);
    expect(optionsOf(asked)).toMatchObject({ only: undefined, configs: undefined, blocks: undefined });
  });

  it('refuses what does not fit in a sentence', async () => {
    expect(() => optionsOf({ ...asked, only: 'peak', decode: true })).toThrow('--only and --decode say the same thing');
    expect(() => optionsOf({ ...asked, all: true, brief: true })).toThrow('--all and --brief ask for opposite things');
    expect(() => optionsOf({ ...asked, contexts: '256,x' })).toThrow('--contexts: 256,x is not a list');
    expect(() => optionsOf({ ...asked, lengths: '0' })).toThrow('--lengths: 0 is not a list');
    expect(() => optionsOf({ ...asked, device: 'gpu' })).toThrow('gpu is not a device');
    await expect(bench({ ...asked, configs: 'XL' })).rejects.toMatchObject({
      message: 'unknown configuration XL; there are S, M, L',
      code: 2,
    });
  });
});
