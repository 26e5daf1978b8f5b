// The generalised delta rule of RWKV-7 as an operator: what golden cases and blocks call it by.
import { defineOperator } from '../define';
import { wkv } from './fused';
import { type Rule, recurrent } from './reference';

export default defineOperator({
  id: 'wkv7',
  role: 'operator',
  title: 'WKV of RWKV-7',
  paper: 'https://arxiv.org/abs/2503.14456',
  options: {},
  run: (inputs) => ({ y: wkv(inputs as unknown as Rule) }),
  decode(inputs) {
    const { y, S } = recurrent(inputs as unknown as Rule);
    return { outputs: { y }, state: { s: S } };
  },
  golden: () => ({ options: {} }),
});

/** FLOPs of one token and one head of N channels, multiply-add = 2: the matrix products, and the decay with them. */
export const ruleFlops = (N: number) => ({
  matrices: 8 * N * N,
  forward: 9 * N * N,
  backward: 18 * N * N,
});
