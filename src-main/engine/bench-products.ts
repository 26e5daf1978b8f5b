// Matrix products: squares, and the shapes that whole steps of S, M and L ask for, forward and for both gradients.
import { tf } from '../ops';
import { CONFIGS, type Precision } from './bench-models';
import { type Row, spread } from './bench-rows';
import { type Asked, open, quickPeak, repeat, taken, type Work } from './bench-work';

interface Product {
  name: string;
  m: number;
  n: number;
  k: number;
  transA: boolean;
  transB: boolean;
}

const SQUARES = [128, 256, 384, 512, 1024, 2048];
const straight = { transA: false, transB: false };

/** Inner width of the gated MLP. */
const innerOf = (width: number): number => Math.ceil((8 * width) / 3 / 64) * 64;

function shapes(configs: readonly string[]): Product[] {
  const squares = SQUARES.map((n) => ({ name: `${n}³`, m: n, n, k: n, ...straight }));
  const layers = configs.flatMap((config) => {
    const { width, batch, tokens } = CONFIGS[config];
    const rows = batch * tokens;
    const parts = { qkv: [width, 3 * width], up: [width, innerOf(width)], down: [innerOf(width), width] };
    return Object.entries(parts).flatMap(([part, [from, to]]): Product[] => [
      { name: `${config} ${part}`, m: rows, n: to, k: from, ...straight },
      { name: `${config} ${part} dX`, m: rows, n: from, k: to, transA: false, transB: true },
      { name: `${config} ${part} dW`, m: from, n: to, k: rows, transA: true, transB: false },
    ]);
  });
  const few = [1, 4].flatMap((m) =>
    [false, true].map((transB) => ({ name: `${m} row${m > 1 ? 's' : ''}`, m, n: 1408, k: 512, transA: false, transB })),
  );
  return [...squares, ...layers, ...few];
}

const label = ({ name, m, n, k, transA, transB }: Product): string =>
  `${name} [${m}, ${k}]${transA ? 'ᵀ' : ''} × [${k}, ${n}]${transB ? 'ᵀ' : ''}`;

async function measure(asked: Asked, product: Product, threads: number, precision: Precision): Promise<Row> {
  const { m, n, k, transA, transB } = product;
  const facts = await open(asked, precision, threads);
  const peak = asked.device === 'cpu' ? quickPeak(facts.threads, precision) : undefined;
  const a = tf.randomUniform(transA ? [k, m] : [m, k], -1, 1);
  const b = tf.randomUniform(transB ? [n, k] : [k, n], -1, 1);
  try {
    // Elsewhere a product is only begun by the call; reading it back would be timed too.
    const ms =
      asked.device === 'cpu'
        ? repeat(() => tf.dispose(tf.matMul(a, b, transA, transB)), 40)
        : spread(await awaited(() => tf.matMul(a, b, transA, transB)));
    const rate = (time: number) => (2 * m * n * k) / time / 1e6;
    const gflops = { median: rate(ms.median), min: rate(ms.max), max: rate(ms.min), samples: ms.samples };
    const peakShare = peak ? gflops.median / peak : null;
    return { kind: 'matmul', ...taken(facts, precision), name: label(product), m, n, k, ms, gflops, peakShare };
  } finally {
    tf.dispose([a, b]);
  }
}

async function awaited(run: () => tf.Tensor): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < 4; i++) {
    const start = performance.now();
    const result = run();
    await result.data();
    if (i) times.push(performance.now() - start);
    result.dispose();
  }
  return times;
}

/** Each shape in each precision, on one thread and on all in turn. */
export function products(asked: Asked, only: RegExp = /./): Work[] {
  return asked.precisions.map((precision) => ({
    label: `matrix products, ${precision}`,
    seconds: 12,
    run: async () => {
      const rows: Row[] = [];
      const { threads } = await open(asked, precision);
      for (const product of shapes(asked.configs).filter(({ name }) => only.test(name)))
        for (const count of threads > 1 ? [1, threads] : [1])
          rows.push(await measure(asked, product, count, precision));
      await open(asked);
      return rows;
    },
  }));
}
