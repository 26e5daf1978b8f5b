// The memory that learns while it reads, as an operator: what golden cases and the layer call it by.
import type { Tensor } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { defineOperator, type State, type Weights } from '../define';
import { config } from '../parts/golden';
import { type Inputs, readAll, readOne, type Start } from './memory';
import { type MemoryOptions, matrixSizes, memoryOptions } from './options';

/** The tensors of a case: those of the tokens, and those of the start. */
function read({ poly_coef, mem_w1, mem_w2, ...inputs }: Weights) {
  return { inputs: inputs as unknown as Inputs, start: { poly_coef, mem_w1, mem_w2 } as Start };
}

export default defineOperator({
  id: 'atlas_memory',
  role: 'operator',
  title: 'Memory trained at test time',
  paper: 'https://arxiv.org/abs/2505.23735',
  options: memoryOptions,
  run(given, { options }) {
    const { inputs, start } = read(given);
    return { y: readAll(inputs, start, options) };
  },
  decode(given, { options }) {
    const { inputs, start } = read(given);
    const at = (u: Tensor, t: number) =>
      tf.slice(u, [0, 0, t, ...u.shape.slice(3).map(() => 0)], [u.shape[0], u.shape[1]!, 1, ...u.shape.slice(3)]);
    let state: State = {};
    const ys = Array.from({ length: inputs.q.shape[2]! }, (_, t) => {
      const now = Object.fromEntries(Object.entries(inputs).map(([name, u]) => [name, at(u, t)])) as unknown as Inputs;
      const done = readOne(now, start, state, t % options.chunk === 0, options);
      state = done.state;
      return done.y;
    });
    return { outputs: { y: tf.concat(ys, 2) }, state };
  },
  golden: (given) => ({ options: memoryConfig(given) }),
});

/** The fields of a golden config that describe the memory. */
export function memoryConfig(given: Record<string, unknown>): MemoryOptions {
  const read = config(given);
  return {
    memory: read.choice('memory', memoryOptions.memory.choices, 'mlp'),
    featureMap: read.choice('feature_map', memoryOptions.featureMap.choices, 'none'),
    degree: read.number('degree', 1),
    window: read.number('window', 1),
    chunk: read.number('chunk_size', 1),
    nsSteps: read.number('ns_steps', 5),
  };
}

export interface MemorySizes {
  /** Features, hidden width, head width. */
  F: number;
  h: number;
  d: number;
}

/** FLOPs of one head over T tokens as they run in chunks, multiply-add = 2: the matrix products, and what the spec counts beside them. */
export function memoryFlops(o: MemoryOptions, { F, h, d }: MemorySizes, T: number) {
  const matrices = matrixSizes(o.memory, F, h, d);
  const P = matrices.reduce((sum, [r, s]) => sum + r * s, 0);
  const c = Math.min(o.window, T);
  const rows = T + Math.ceil(T / o.chunk) * (c - 1); // tokens whose loss is looked at, again in each chunk
  const errors = rows * (2 * P + (o.memory === 'mlp' ? 2 * h * d : 0));
  const orthogonal = matrices.reduce((sum, sides) => {
    const [r, s] = [Math.min(...sides), Math.max(...sides)];
    return sum + 4 * r * r * s + 2 * r ** 3;
  }, 0);
  return {
    products: errors + T * (2 * c * P + 2 * P + o.nsSteps * orthogonal),
    elementwise: T * 5 * P,
    /** Numbers in the memory's matrices. */
    P,
  };
}
