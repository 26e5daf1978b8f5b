// Queries, keys and values by blocks of channels, and two gates a head that read all of them: what stands before the matrix memory of xLSTM.
import { defineKernel, type Shapes, sizeOf } from '../core/kernel';

/** Channels of a block. */
const BLOCK = 4;
const WEIGHTS = ['w_q', 'w_k', 'w_v'] as const;
const BIASES = ['b_q', 'b_k', 'b_v'] as const;
const declared = BIASES.map((name) => `${name}?`);

const ints = ({ c, w_i }: Shapes) => [sizeOf(c.slice(0, -1)), c[c.length - 1], w_i[1]]; // rows, E, H

/**
 * c and u [.., E] and blocks w_q, w_k, w_v [E / 4, 4, 4], channel in and out, to q and k (of c) and v (of u) [.., E], with biases b_q, b_k, b_v [E]
 * where they are given; and gates i = q·w_i + k·w_i + v·w_i + b_i and f alike [.., H], where w_i and w_f [3·E, H] hold the rows of q, then k, then v.
 */
export const gatedBlocks = defineKernel({
  name: 'GatedBlocks',
  inputs: ['c', 'u', ...WEIGHTS, 'w_i', 'b_i', 'w_f', 'b_f', ...declared],
  outputs({ c, w_i }) {
    const gates = [...c.slice(0, -1), w_i[1]];
    return { q: c, k: c, v: c, i: gates, f: gates };
  },
  ints,
  refuses({ c, u, w_i, w_f, b_i, b_f, ...rest }) {
    if (c.length < 1) return 'c must be [.., channels], not a number';
    const E = c[c.length - 1];
    if (String(u) !== String(c)) return `u [${u}] must have the shape of c [${c}]`;
    const wrong = WEIGHTS.find((name) => String(rest[name]) !== String([E / BLOCK, BLOCK, BLOCK]));
    if (wrong) return `${wrong} [${rest[wrong]}] must be [${E / BLOCK}, ${BLOCK}, ${BLOCK}] to go with c [${c}]`;
    if (w_i.length !== 2 || w_i[0] !== 3 * E) return `w_i [${w_i}] must be [${3 * E}, heads] to go with c [${c}]`;
    if (String(w_f) !== String(w_i)) return `w_f [${w_f}] must have the shape of w_i [${w_i}]`;
    for (const [name, shape] of Object.entries({ b_i, b_f }))
      if (sizeOf(shape) !== w_i[1]) return `${name} has ${sizeOf(shape)} entries for ${w_i[1]} heads`;
    const odd = BIASES.find((name) => rest[name] && sizeOf(rest[name]) !== E);
    return odd && `${odd} has ${sizeOf(rest[odd])} entries for ${E} channels`;
  },
  gradient: {
    kernel: 'GatedBlocksGrad',
    inputs: ['c', 'u', ...WEIGHTS, 'w_i', 'w_f', ...BIASES],
    outputs: [],
    cotangents: ['q', 'k', 'v', 'i', 'f'],
    of: ['c', 'u', ...WEIGHTS, 'w_i', 'w_f', ...BIASES, 'b_i', 'b_f'],
  },
});

export const gatedBlocksGrad = defineKernel({
  name: 'GatedBlocksGrad',
  inputs: ['c', 'u', ...WEIGHTS, 'w_i', 'w_f', ...declared, 'dq', 'dk', 'dv', 'di', 'df'],
  outputs({ c, u, w_i, w_f, ...rest }) {
    const [channels, heads] = [[c[c.length - 1]], [w_i[1]]];
    return {
      dc: c,
      du: u,
      ...Object.fromEntries(WEIGHTS.map((name) => [`d${name}`, rest[name]])),
      dw_i: w_i,
      dw_f: w_f,
      ...Object.fromEntries(BIASES.map((name) => [`d${name}`, channels])),
      db_i: heads,
      db_f: heads,
    };
  },
  ints,
});
