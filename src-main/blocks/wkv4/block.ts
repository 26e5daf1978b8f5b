// The weighted mean of RWKV-4 as an operator: what golden cases and blocks call it by.
import { defineOperator } from '../define';
import { wkv } from './fused';
import { type Mean, recurrent } from './reference';

export default defineOperator({
  id: 'wkv4',
  role: 'operator',
  title: 'WKV of RWKV-4',
  paper: 'https://arxiv.org/abs/2305.13048',
  options: {},
  run: (inputs) => ({ y: wkv(inputs as unknown as Mean) }),
  decode(inputs) {
    const { y, past } = recurrent(inputs as unknown as Mean);
    return { outputs: { y }, state: { ...past } };
  },
  golden: () => ({ options: {} }),
});

/** FLOPs of one token and one channel in the recurrent form, which has no matrix products. */
export const WKV_FLOPS = { forward: 22, backward: 44 };
