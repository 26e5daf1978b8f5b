// Stacks written as a line: what they stand for, and what is wrong with those that can't be read.
import { expect, it } from 'vitest';
import { isPattern, parsePattern, readPattern } from './pattern';

const block = (id: string) => ({ block: id });

it('reads blocks with counts and groups', () => {
  expect(parsePattern('mamba2 x3, attention x1')).toEqual([
    { repeat: 3, layers: [block('mamba2')] },
    block('softmax_attention'),
  ]);
  expect(parsePattern(' (mamba2 ×2,gated-mlp)x 4 , RWKV7 ')).toEqual([
    { repeat: 4, layers: [{ repeat: 2, layers: [block('mamba2')] }, block('gated_mlp')] },
    block('rwkv7'),
  ]);
  expect(parsePattern('xlstm*2')).toEqual([{ repeat: 2, layers: [block('xlstm')] }]);
});

it('knows a pattern from a search for one block', () => {
  expect(isPattern(parsePattern('mamba2'))).toBe(false);
  expect(isPattern(parsePattern('mamba2 x2'))).toBe(true);
  expect(isPattern(parsePattern('mamba2, mlp'))).toBe(true);
});

it.each([
  ['', 'a block is missing'],
  ['mamba2,', 'a block is missing'],
  ['x3', '“3” stands where a block should'],
  ['mamba2 3', '“3” is not a block, a count or a bracket'],
  ['mamba2 mlp', '“mlp” stands where a comma should'],
  ['(mamba2 x2', 'a bracket is not closed'],
  ['mamba2 x300', 'a count is from 1 to 256, not 300'],
])('says what is wrong with “%s”', (text, message) => {
  expect(() => parsePattern(text)).toThrow(`model.layers: ${message}; write blocks with commas between them`);
});

it('stands in a run draft in place of the layers', () => {
  expect(readPattern({ model: { width: 8, layers: 'mlp x2' }, seed: 1 })).toEqual({
    model: { width: 8, layers: [{ repeat: 2, layers: [block('mlp')] }] },
    seed: 1,
  });
  const usual = { model: { layers: [block('mlp')] } };
  expect(readPattern(usual)).toBe(usual);
  expect(readPattern(null)).toBeNull();
  expect(() => readPattern({ model: { layers: 'mlp,,' } })).toThrow('model.layers: “,” stands where a block should');
});
