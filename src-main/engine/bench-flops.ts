// Useful operations of the kernels that multiply, and bytes that each must move, from the sizes that native code is given.

/** Sizes in the order of a kernel's `ints`, to operations of the forward pass; a multiply-add is two. */
type Flops = (...ints: number[]) => number;

/** Linear scans count what the recurrence needs, a state written and read once a token, however a kernel cuts the sums. */
const scan = (rows: number, T: number, d: number, e: number): number => 4 * rows * T * d * e;

/** Pairs of queries and keys that see each other; query t stands at place t + S − T. */
function pairs(T: number, S: number, { causal = 1, strict = 0, window = 0 } = {}): number {
  if (!causal && !window) return T * S;
  let count = 0;
  for (let t = 0; t < T; t++) {
    const place = t + S - T;
    const seen = causal ? place + (strict ? 0 : 1) : S;
    count += window ? Math.min(seen, causal ? window : 2 * window - 1) : seen;
  }
  return count;
}

/** x [rows, D] through several maps side by side, with the columns of each. */
const linear: Flops = (rows, D, _, ...columns) => 2 * rows * D * columns.reduce((a, b) => a + b, 0);

const FORWARD: Record<string, Flops> = {
  MatMul: (batch, m, n, k) => 2 * batch * m * n * k,
  ...Object.fromEntries([2, 3, 4].flatMap((n) => [`Linear${n}`, `SplitLinear${n}`].map((name) => [name, linear]))),
  BlockDiagonal: (rows, N, I, O) => 2 * rows * N * I * O,
  GatedBlocks: (rows, E, H) => rows * E * (24 + 12 * H),
  Attention: (B, T, S, H, _, d, e, causal, strict, window) =>
    2 * B * H * (d + e) * pairs(T, S, { causal, strict, window }),
  DifferentialAttention: (B, T, S, H, _, d, e, causal) => 2 * B * H * (2 * d + e) * pairs(T, S, { causal }),
  LatentAttention: (B, T, S, H, _, d, n, causal, __, valueAt) =>
    2 * B * H * (d + n - valueAt) * pairs(T, S, { causal }),
  SsdScan: (b, T, H, P, _, N) => scan(b * H, T, P, N),
  PackedScan: (b, T, H, P, _, N) => scan(b * H, T, P, N),
  ConvScan: (b, T, H, P, G, N, K) => scan(b * H, T, P, N) + 2 * b * T * K * (H * P + 2 * G * N),
  Quasiseparable: (b, T, H, P, _, N) => 2 * scan(b * H, T, P, N),
  WholeQuasiseparable: (b, T, H, P, _, N) => 2 * scan(b * H, T, P, N),
  GatedLinearScan: (b, T, H, d, _, e) => scan(b * H, T, d, e),
  MlstmCell: (b, H, T, d) => scan(b * H, T, d, d),
  GatedMlstm: (b, H, T, d) => scan(b * H, T, d, d) + 12 * b * T * H * d * H,
  Wkv7: (rows, T, N) => 2 * scan(rows, T, N, N), // the state is also read and written along a and b
  Rwkv7Mix: (b, T, H, N) => 2 * scan(b * H, T, N, N),
  SlstmCell: (b, T, H, d) => 8 * b * T * H * d * d,
  MappedSlstm: (b, T, H, d) => 16 * b * T * H * d * d,
  Lstm: (b, T, h) => 8 * b * T * h * h,
  Gru: (b, T, h) => 6 * b * T * h * h,
  CausalConv: (b, T, C, K) => 2 * b * T * C * K,
};
/** Products of the gradient as a multiple of the forward's: two for each, and those that are made again because they are not kept. */
const BACKWARD: Record<string, number> = { Attention: 2.5, DifferentialAttention: 2.5, LatentAttention: 2.5 };

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
