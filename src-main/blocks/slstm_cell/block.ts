// The scalar memory of xLSTM as an operator: what golden cases and blocks call it by.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { defineOperator } from '../define';
import { slstmCell } from './fused';
import { asState, type Cell, type Memory, run } from './reference';

const NAMES = ['i', 'f', 'z', 'o'] as const;

export default defineOperator({
  id: 'slstm_cell',
  role: 'operator',
  title: 'sLSTM cell',
  paper: 'https://arxiv.org/abs/2405.04517',
  options: {},
  run: (inputs) => ({ y: slstmCell(inputs as unknown as Cell) }),
  decode(inputs) {
    const { r, b, ...gates } = inputs as unknown as Cell;
    const [B, T, D] = gates.i.shape;
    let memory: Memory | undefined;
    const ys: Tensor[] = [];
    for (let t = 0; t < T; t++) {
      const [i, f, z, o] = NAMES.map((name) => tf.slice(gates[name], [0, t, 0], [B, 1, D]) as Tensor3D);
      const done = run({ i, f, z, o, r, b }, memory);
      memory = done.memory;
      ys.push(done.y);
    }
    return { outputs: { y: tf.concat(ys, 1) }, state: asState(memory!) };
  },
  golden: () => ({ options: {} }),
});

/** FLOPs a sequence of T tokens, forward, multiply-add = 2; H heads of d channels. */
export function cellFlops({ H, d }: { H: number; d: number }, T: number) {
  const matrices = T * 8 * H * d * d;
  return { matrices, forward: matrices + 30 * T * H * d };
}
