// The state-space-dual scan as an operator: what golden cases and blocks call it by.
import type { Tensor } from '@tensorflow/tfjs-core';
import { defineOperator } from '../define';
import { ssdScan } from './fused';
import { mixingMatrix, recurrent, type Scan } from './reference';

/**
 * Names as in the spec (`initial_state`) to ours.
 * @throws Error where the groups do not divide the heads.
 */
function read({ initial_state, ...rest }: Record<string, Tensor>): Scan {
  const [H, G] = [rest.x.shape[2]!, rest.B.shape[2]!];
  if (H % G !== 0) throw new Error(`${G} groups (B's third axis) do not divide the ${H} heads (that of x)`);
  return { ...rest, ...(initial_state && { initialState: initial_state }) } as unknown as Scan;
}

export default defineOperator({
  id: 'ssd_scan',
  role: 'operator',
  title: 'State-space-dual scan',
  paper: 'https://arxiv.org/abs/2405.21060',
  options: {},
  run(inputs, { extra }) {
    const scan = read(inputs);
    extra?.('M', mixingMatrix(scan));
    const { y, finalState } = ssdScan(scan);
    return { y, final_state: finalState };
  },
  decode(inputs) {
    const { y, finalState } = recurrent(read(inputs));
    return { outputs: { y, final_state: finalState }, state: { ssm: finalState } };
  },
  golden: () => ({ options: {} }),
});

/**
 * Useful FLOPs a sequence of T tokens in chunks of Q, forward and backward, multiply-add = 2; H heads of width P, G groups, state N.
 * The counts are those of the chunked form with full squares inside a chunk; what a kernel makes again in the gradient is its own affair.
 */
export function scanFlops({ H, P, G, N }: { H: number; P: number; G: number; N: number }, T: number, Q = 64) {
  const q = Math.min(Q, T);
  const matrices = 2 * G * q * N + 2 * H * q * P + 4 * H * P * N;
  const forward = T * (matrices + (2 * H * P * N) / q + 4 * H * q);
  /** `matrices`: the products of the forward pass alone. */
  return { matrices: T * matrices, forward, backward: 2 * forward };
}
