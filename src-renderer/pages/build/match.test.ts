// Models of one size: by their MLPs, by their width, and as near as it comes where neither can.
import { expect, it } from 'vitest';
import type { ModelSpec, Node } from '../../../src-main/spec/model';
import { type Count, matchAll, matchParameters, spreadOf } from './match';

const model = (width: number, layers: Node[]): ModelSpec => ({
  format: 'archlab.model/1',
  width,
  positions: 'none',
  layers,
  finalNorm: 'rms',
  head: { tied: true },
});
const hasHidden = (block: string) => block === 'mlp';
/** 256 D of the embedding, 4 D² a mixer, 2 D F an MLP; widths that 4 does not divide can't be built. */
const count: Count = async ({ width: D, layers }) => {
  const of = (nodes: readonly Node[]): number =>
    nodes.reduce((sum, node) => {
      if ('repeat' in node) return sum + node.repeat * of(node.layers);
      if ('parallel' in node) return sum + node.parallel.reduce((all, branch) => all + of(branch), 0);
      return sum + (node.block === 'mlp' ? 2 * D * Number(node.options?.hidden ?? 4 * D) : 4 * D * D);
    }, 0);
  return D % 4 ? null : 256 * D + of(layers);
};

it('sets the hidden width of all MLPs, wherever they stand, and leaves the rest as it is', async () => {
  const layers: Node[] = [
    {
      repeat: 3,
      layers: [
        { block: 'mixer', options: { heads: 4 } },
        { block: 'mlp', options: { bias: true } },
      ],
    },
    { parallel: [[{ block: 'mlp' }], [{ block: 'mixer' }]], combine: 'sum' },
  ];
  const before = model(64, layers);
  const target = 300_000;
  const match = (await matchParameters(before, target, count, hasHidden))!;
  expect(match.knob).toBe('hidden');
  // One more of hidden width in four MLPs is 4 · 2 · 64 parameters, so half of that is the most it can be off; 16 more are too many here.
  expect(Math.abs(match.parameters - target)).toBeLessThanOrEqual(256);
  expect(await count(match.model)).toBe(match.parameters);
  expect(match.model.layers).toEqual([
    {
      repeat: 3,
      layers: [
        { block: 'mixer', options: { heads: 4 } },
        { block: 'mlp', options: { bias: true, hidden: match.value } },
      ],
    },
    { parallel: [[{ block: 'mlp', options: { hidden: match.value } }], [{ block: 'mixer' }]], combine: 'sum' },
  ]);
  expect(before.layers).toEqual(layers);
});

it('takes a hidden width that kernels like where that is as good as the same size', async () => {
  const large = model(64, [{ block: 'mlp', options: { hidden: 100 } }]);
  // 4,001 of hidden width would fit to the last parameter.
  const match = (await matchParameters(large, 256 * 64 + 2 * 64 * 4001, count, hasHidden))!;
  expect(match.value).toBe(4000);
});

it('finds the width below one that is refused', async () => {
  const narrow: Count = async (one) => {
    const [{ options } = {}] = one.layers as { options?: { hidden?: number } }[];
    return (options?.hidden ?? 0) > 600 ? null : count(one);
  };
  const match = await matchParameters(model(64, [{ block: 'mlp' }]), 256 * 64 + 2 * 64 * 320, narrow, hasHidden);
  expect(match?.value).toBe(320);
});

it('sets the width of a model without MLPs, to one that can be built', async () => {
  const match = (await matchParameters(model(64, [{ block: 'mixer' }]), 131_000, count, hasHidden))!;
  expect(match).toMatchObject({ knob: 'width', value: 152 });
  expect(match.model.width).toBe(152);
});

it('takes to the width where the mixers alone are too large', async () => {
  const layers: Node[] = [{ repeat: 6, layers: [{ block: 'mixer' }] }, { block: 'mlp' }];
  const match = (await matchParameters(model(128, layers), 200_000, count, hasHidden))!;
  expect(match.knob).toBe('width');
  expect(Math.abs(match.parameters / 200_000 - 1)).toBeLessThan(0.1);
});

it('leaves a model alone that fits, that nothing brings nearer, or that can not be built', async () => {
  const fits = model(64, [{ block: 'mixer' }]);
  expect(await matchParameters(fits, (await count(fits))!, count, hasHidden)).toBeNull();
  expect(await matchParameters(fits, (await count(fits))! + 10, count, hasHidden)).toBeNull();
  expect(await matchParameters(model(63, []), 1000, count, hasHidden)).toBeNull();
});

it('brings all to the one that can not come to the others', async () => {
  const bendable = model(64, [{ block: 'mixer' }, { block: 'mlp' }]);
  const stiff = model(128, [{ block: 'mixer' }]);
  // Only its own width can be built.
  const strict: Count = async (one) => (one.layers.length === 1 && one.width !== 128 ? null : count(one));
  const all = (await matchAll([bendable, stiff], strict, hasHidden))!;
  expect(all.like).toBe(1);
  expect(all.spread).toBeLessThan(0.01);
  expect(all.matches).toEqual([expect.objectContaining({ knob: 'hidden' }), null]);
  // Where the first will do, the others come to it.
  const other = model(96, [{ block: 'mixer' }, { block: 'mlp', options: { hidden: 500 } }]);
  expect(await matchAll([bendable, other], count, hasHidden)).toMatchObject({ like: 0, matches: [null, {}] });
});

it('tells sizes apart by share', () => {
  expect(spreadOf([100, 125, 110])).toBe(0.25);
  expect(spreadOf([100])).toBe(0);
});
