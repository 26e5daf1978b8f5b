// Measures single kernels of the cpu device beside the processor's peak: products of matrices, and the fused mixers forward and backward.
import { measurePeak, runKernel, tf, useDevice } from '../ops';

export interface KernelResult {
  /** What was run, its sizes included. */
  name: string;
  pass: 'product' | 'forward' | 'backward';
  precision: 'float32' | 'bfloat16';
  threads: number;
  /** By the median of the samples, counting multiply-adds as two. */
  gflops: number;
  /** Of the peak of multiply-adds in that precision, measured just before; null where there is no probe for it. */
  share: number | null;
}
interface Work {
  name: string;
  pass: KernelResult['pass'];
  flop: number;
  run(): tf.Tensor[];
  dispose(): void;
}

const SQUARES = [128, 256, 512, 1024, 2048];
/** Width and inner width of the gated MLP; 2048 tokens a step. */
const SIZES: Record<string, [width: number, inner: number]> = { S: [128, 344], M: [256, 704], L: [512, 1408] };
const TOKENS = 2048;

function product(name: string, m: number, n: number, k: number, transA: boolean, transB: boolean): Work {
  const a = tf.randomUniform(transA ? [k, m] : [m, k], -1, 1);
  const b = tf.randomUniform(transB ? [n, k] : [k, n], -1, 1);
  const label = `${name} [${m}, ${k}]${transA ? 'ᵀ' : ''} × [${k}, ${n}]${transB ? 'ᵀ' : ''}`;
  const run = () => [tf.matMul(a, b, transA, transB)];
  return { name: label, pass: 'product', flop: 2 * m * n * k, run, dispose: () => tf.dispose([a, b]) };
}

/** The makers of all work, so that only one's tensors live at a time. */
function products(): (() => Work)[] {
  const shapes = Object.entries(SIZES).flatMap(([size, [width, inner]]) =>
    (
      [
        ['qkv', width, 3 * width],
        ['up', width, inner],
        ['down', inner, width],
      ] as const
    ).flatMap(([name, from, to]) => [
      () => product(`${size} ${name}`, TOKENS, to, from, false, false),
      () => product(`${size} ${name} dX`, TOKENS, from, to, false, true),
      () => product(`${size} ${name} dW`, from, to, TOKENS, true, false),
    ]),
  );
  const rows = [1, 4].flatMap((m) => [
    () => product(`${m} row${m > 1 ? 's' : ''}`, m, 1408, 512, false, false),
    () => product(`${m} row${m > 1 ? 's' : ''}`, m, 1408, 512, false, true),
  ]);
  return [...SQUARES.map((n) => () => product(`${n}³`, n, n, n, false, false)), ...shapes, ...rows];
}

/** Causal attention at the sizes of M and L: two products forward and five backward, over half of all pairs. */
function attention(size: string, batch: number, tokens: number, heads: number, width: number): (() => Work)[] {
  const draw = () => tf.randomUniform([batch, tokens, heads, width], -1, 1);
  const attrs = { scale: width ** -0.5, causal: true };
  const pairs = (batch * heads * tokens * (tokens + 1)) / 2;
  const name = `attention ${size} [${batch}, ${tokens}, ${heads}, ${width}]`;
  return [
    () => {
      const [q, k, v] = [draw(), draw(), draw()];
      const run = () => Object.values(runKernel('Attention', { q, k, v }, attrs));
      return { name, pass: 'forward', flop: 4 * pairs * width, run, dispose: () => tf.dispose([q, k, v]) };
    },
    () => {
      const [q, k, v, slope] = [draw(), draw(), draw(), draw()];
      const { o, lse } = runKernel('Attention', { q, k, v }, attrs);
      const run = () => Object.values(runKernel('AttentionGrad', { q, k, v, o, lse, do: slope }, attrs));
      const dispose = () => tf.dispose([q, k, v, slope, o, lse]);
      return { name, pass: 'backward', flop: 10 * pairs * width, run, dispose };
    },
  ];
}

function medianMs(work: Work, ms: number): number {
  const times: number[] = [];
  tf.dispose(work.run());
  const end = performance.now() + ms;
  while (times.length < 3 || performance.now() < end) {
    const start = performance.now();
    const results = work.run();
    times.push(performance.now() - start);
    tf.dispose(results);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
}

/** Runs everything in each precision, on one thread and on all; `ms`: at least so long a row; `only`: rows whose name it fits. */
export async function measureKernels(
  { threads, ms = 40, only = /./ }: { threads?: number; ms?: number; only?: RegExp },
  onResult: (result: KernelResult) => void,
): Promise<KernelResult[]> {
  const results: KernelResult[] = [];
  const { threads: all } = await useDevice('cpu', { threads });
  const makers = [...products(), ...attention('M', 8, 256, 4, 64), ...attention('L', 4, 512, 8, 64)];
  for (const precision of ['float32', 'bfloat16'] as const)
    for (const count of all > 1 ? [1, all] : [1]) {
      await useDevice('cpu', { threads: count, precision });
      for (const make of makers) {
        const work = make();
        if (!only.test(work.name)) {
          work.dispose();
          continue;
        }
        const peak = measurePeak(count, precision, 200_000);
        const gflops = work.flop / medianMs(work, ms) / 1e6;
        work.dispose();
        const share = peak ? gflops / peak : null;
        const result = { name: work.name, pass: work.pass, precision, threads: count, gflops, share };
        results.push(result);
        onResult(result);
      }
    }
  await useDevice('cpu', { threads });
  return results;
}
