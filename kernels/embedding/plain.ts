// Embedding look-up and its scatter-add as float64 loops.
import type { Plain } from '../core/kernel';

export const plain: Record<string, Plain> = {
  Embedding({ table, ids }, shapes) {
    const D = shapes.table[1];
    const y = new Float64Array(ids.length * D);
    for (let i = 0; i < ids.length; i++) for (let j = 0; j < D; j++) y[i * D + j] = table[ids[i] * D + j];
    return { y };
  },
  EmbeddingGrad({ table, ids, dy }, shapes) {
    const D = shapes.table[1];
    const dtable = new Float64Array(table.length);
    for (let i = 0; i < ids.length; i++) for (let j = 0; j < D; j++) dtable[ids[i] * D + j] += dy[i * D + j];
    return { dtable };
  },
};
