// Rows of a table by id, and the gradient that adds rows back by id.
import { defineKernel, type Kernel, type Shapes, sizeOf } from '../core/kernel';

const ints = ({ table, ids }: Shapes) => [table[0], table[1], sizeOf(ids)];

/** table [V, D], ids [..] (int32) to y [.., D] = table[ids]. An id outside 0..V-1 is an error. */
export const embedding = defineKernel({
  name: 'Embedding',
  inputs: ['table', 'ids'],
  dtypes: { ids: 'int32' },
  outputs: ({ table, ids }) => ({ y: [...ids, table[1]] }),
  ints,
  refuses: ({ table }) =>
    table.length === 2 ? undefined : `table must be [vocabulary, width], not [${table.join(', ')}]`,
  gradient: { kernel: 'EmbeddingGrad', inputs: ['table', 'ids'], outputs: [], cotangents: ['y'], of: ['table'] },
});

/** dtable[v] = Σ dy over the places whose id is v, added in the order of the places. `table` gives the shape only. */
export const embeddingGrad = defineKernel({
  name: 'EmbeddingGrad',
  inputs: ['table', 'ids', 'dy'],
  dtypes: { ids: 'int32' },
  outputs: ({ table }) => ({ dtable: table }),
  ints,
});

export const kernels: Kernel[] = [embedding, embeddingGrad];
