// Useful operations of the kernels that multiply, and bytes that each must move, from the sizes that native code is given.

/** Sizes in the order of a kernel's `ints`, to operations of the forward pass; a multiply-add is two. */
type Flops = (...ints: number[]) => number;

/** Linear scans count what the recurrence needs, a state written and read once a token, however a kernel cuts the sums. */
const scan = (rows: number, T: number, d: number, e: number): number => 4 * rows * T * d * e;

const FORWARD: Record<string, Flops> = {
  MatMul: (batch, m, n, k) => 2 * batch * m * n * k,
  Attention: (B, T, S, H, _, d, e, causal) => 2 * B * H * (d + e) * (causal ? T * (S - T) + (T * (T + 1)) / 2 : T * S),
  SsdScan: (b, T, H, P, _, N) => scan(b * H, T, P, N),
  GatedLinearScan: (b, T, H, d, _, e) => scan(b * H, T, d, e),
  MlstmCell: (rows, T, d) => scan(rows, T, d, d),
  Wkv7: (rows, T, N) => 2 * scan(rows, T, N, N), // the state is also read and written along a and b
  SlstmCell: (b, T, H, d) => 8 * b * T * H * d * d,
  CausalConv: (b, T, C, K) => 2 * b * T * C * K,
};
/** Products of the gradient as a multiple of the forward's: two for each, and those that are made again because they are not kept. */
const BACKWARD: Record<string, number> = { Attention: 2.5 };

/** Operations of one call; 0 for a kernel whose bytes decide. */
export function flopOfCall(kernel: string, ints: readonly number[]): number {
  const forward = kernel.replace(/Grad$/, '');
  const count = FORWARD[forward]?.(...ints);
  if (count === undefined) return 0;
  return kernel === forward ? count : count * (BACKWARD[forward] ?? 2);
}

/** Bytes that a call must move, where they are not all of its arrays; a copy along strides leaves parts of them alone. */
export function bytesMoved(kernel: string, ints: readonly number[]): { read: number; written: number } | undefined {
  if (kernel !== 'StridedCopy') return undefined;
  const [rank, , , ...dims] = ints;
  const bytes = 4 * dims.slice(0, rank).reduce((n, d) => n * d, 1);
  return { read: bytes, written: bytes };
}
