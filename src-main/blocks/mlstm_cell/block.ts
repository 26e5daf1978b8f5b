// The matrix memory of xLSTM as an operator: what golden cases and blocks call it by.
import { choice, float, int } from '../../spec/options';
import { defineOperator } from '../define';
import { config } from '../parts/golden';
import { mlstmCell } from './fused';
import { type Cell, chunksOf, recurrent } from './reference';

export default defineOperator({
  id: 'mlstm_cell',
  role: 'operator',
  title: 'mLSTM cell',
  paper: 'https://arxiv.org/abs/2405.04517',
  options: {
    forgetGate: choice('sigmoid', {
      choices: ['sigmoid', 'exp'],
      help: 'Forget gate of a preactivation f: sigmoid(f), or exp(f).',
    }),
    eps: float(1e-6, { min: 0, max: 0.1, log: true, help: 'Added to the denominator, at the stabilised scale.' }),
    chunk: int(64, { help: 'Longest chunk in tokens; changes the speed, not the result.' }),
  },
  run: (inputs, { options }) => ({ y: mlstmCell(inputs as unknown as Cell, options, options) }),
  decode(inputs, { options }) {
    const { y, memory } = recurrent(inputs as unknown as Cell, options);
    return { outputs: { y }, state: { ...memory } };
  },
  golden(given) {
    const read = config(given);
    return {
      options: {
        forgetGate: read.choice('forget_gate', ['sigmoid', 'exp'], 'sigmoid'),
        eps: read.number('eps', 1e-6),
        chunk: read.number('chunk_size', 64),
      },
    };
  },
});

/** FLOPs a sequence of T tokens in chunks of at most 64, with full squares inside, multiply-add = 2; H heads of d channels. */
export function cellFlops({ H, d }: { H: number; d: number }, T: number, chunk = 64) {
  const { n, L } = chunksOf(T, chunk);
  // Products of pairs, sums over them with the normaliser as one more channel, and the memory written and read between chunks.
  const matrices = n * L * H * (2 * L * d + 2 * L * (d + 1) + (n > 1 ? 4 * d * (d + 1) : 0));
  const elementwise = n * L * H * (6 * L + 6 * d);
  return { matrices, forward: matrices + elementwise, backward: 2 * (matrices + elementwise), chunks: n };
}
