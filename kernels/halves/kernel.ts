// Caches of decoding in bfloat16: two numbers in a word of int32, an odd last one beside zero. Products with such weights are called by name (ops/served.ts).
import { defineKernel, type Kernel, type Shape, sizeOf, wordsOf } from '../core/kernel';

const lastOf = (shape: Shape): number => shape[shape.length - 1];
const rowsOf = (shape: Shape): number => sizeOf(shape.slice(0, -1));

/** x [.., width] to words [.., ceil(width / 2)], rounded to nearest even. */
export const halvesOf = defineKernel({
  name: 'HalvesOf',
  inputs: ['x'],
  dtypes: { words: 'int32' },
  outputs: ({ x }) => ({ words: [...x.slice(0, -1), wordsOf(lastOf(x))] }),
  ints: ({ x }) => [rowsOf(x), lastOf(x)],
  refuses: ({ x }) => (x.length > 0 ? undefined : 'x must have an axis'),
});

/** words [.., ceil(width / 2)] to x [.., width]. Attribute: `width`. */
export const fromHalves = defineKernel({
  name: 'FromHalves',
  inputs: ['words'],
  dtypes: { words: 'int32' },
  outputs: ({ words }, { width }) => ({ x: [...words.slice(0, -1), Number(width)] }),
  ints: ({ words }, { width }) => [rowsOf(words), Number(width)],
  refuses: ({ words }, { width }) =>
    wordsOf(Number(width)) === lastOf(words) ? undefined : `words [${words}] do not hold rows of ${width} numbers`,
});

/** cache [.., tokens, words] with room for `room` tokens, the new ones zero. */
export const halvesRoom = defineKernel({
  name: 'HalvesRoom',
  inputs: ['cache'],
  dtypes: { cache: 'int32', roomy: 'int32' },
  outputs: ({ cache }, { room }) => ({ roomy: [...cache.slice(0, -2), Number(room), lastOf(cache)] }),
  ints: ({ cache }, { room }) => [sizeOf(cache.slice(0, -2)), cache[cache.length - 2], lastOf(cache), Number(room)],
  refuses: ({ cache }, { room }) =>
    cache.length >= 2 && Number(room) >= cache[cache.length - 2]
      ? undefined
      : `a cache [${cache}] does not fit into room for ${room} tokens`,
});

/** cache [.., n, words] with row [.., width] written at token `at` [1], rounded; the others stay. Attribute: `width`. */
export const halvesAppend = defineKernel({
  name: 'HalvesAppend',
  inputs: ['cache', 'row', 'at'],
  dtypes: { cache: 'int32', at: 'int32' },
  outputs: ({ cache }) => ({ cache }),
  ints: ({ cache }, { width }) => [sizeOf(cache.slice(0, -2)), cache[cache.length - 2], Number(width)],
  inPlace: true,
  refuses({ cache, row, at }, { width }) {
    if (cache.length < 2 || wordsOf(Number(width)) !== lastOf(cache))
      return `cache must be [.., tokens, words] for rows of ${width} numbers, not [${cache.join(', ')}]`;
    if (sizeOf(row) !== sizeOf(cache.slice(0, -2)) * Number(width))
      return `row [${row}] does not hold one token of ${width} numbers for cache [${cache}]`;
    if (sizeOf(at) !== 1) return `at must be one number, not [${at}]`;
    return undefined;
  },
});

export const kernels: Kernel[] = [halvesOf, fromHalves, halvesRoom, halvesAppend];
