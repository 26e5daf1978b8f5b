// How a product and a whole step speed up from one thread to all.
import { tf } from '../ops';
import { benchModel, CONFIGS, VOCABULARY } from './bench-models';
import { type Row, spread } from './bench-rows';
import { benchOf, Stopwatch } from './bench-steps';
import { type Asked, open, taken, type Work } from './bench-work';
import { stepFlops } from './cost';

const SIDE = 1024;
const BLOCK = 'softmax_attention';

/** 1, 2, 4 ... and the number that the device has. */
export function countsUpTo(most: number): number[] {
  const counts: number[] = [];
  for (let n = 1; n < most; n *= 2) counts.push(n);
  return [...counts, most];
}

/** `take` once on each number of threads in turn, for `seconds`: the machine's moods fall on all alike. */
async function inTurn(
  asked: Asked,
  counts: readonly number[],
  take: () => Promise<number>,
): Promise<Map<number, number[]>> {
  const times = new Map<number, number[]>(counts.map((count) => [count, []]));
  const end = performance.now() + 1000 * asked.seconds * counts.length;
  for (let round = 0; round < 3 || (round < 100 && performance.now() < end); round++)
    for (const count of counts) {
      await open(asked, 'float32', count);
      times.get(count)!.push(await take());
    }
  return times;
}

async function rowsOf(asked: Asked, what: string, flop: number, take: () => Promise<number>): Promise<Row[]> {
  const all = await open(asked);
  const times = await inTurn(asked, countsUpTo(all.threads), take);
  await open(asked);
  const one = times.get(1)!;
  return [...times].map(([threads, list]): Row => {
    const ms = spread(list);
    const timesOne = spread(list.map((time, i) => one[i] / time)).median;
    return {
      kind: 'threads',
      ...taken({ ...all, threads }, 'float32'),
      what,
      ms,
      gflops: flop / ms.median / 1e6,
      timesOne,
    };
  });
}

export function threads(asked: Asked): Work[] {
  if (asked.device !== 'cpu') return [];
  const product = async () => {
    await open(asked);
    const a = tf.randomUniform([SIDE, SIDE]);
    const take = async () => {
      const start = performance.now();
      tf.matMul(a, a).dispose();
      return performance.now() - start;
    };
    await take();
    const rows = await rowsOf(asked, `${SIDE}³ product`, 2 * SIDE ** 3, take);
    a.dispose();
    return rows;
  };
  const step = async () => {
    await open(asked);
    const config = asked.configs.includes('M') ? 'M' : asked.configs[0];
    const { tokens, batch } = CONFIGS[config];
    const bench = benchOf(config, BLOCK);
    try {
      const made = bench.make();
      const watch = new Stopwatch(made, bench.part);
      for (let i = 0; i < 5 && made.played === 0; i++) await watch.take(false);
      const flop = stepFlops(benchModel(BLOCK, CONFIGS[config]), { tokens, batch, vocabulary: VOCABULARY });
      return await rowsOf(asked, `${config} ${BLOCK} step`, flop, () => watch.take(false));
    } finally {
      bench.dispose();
    }
  };
  return [
    { label: 'product by threads', seconds: 2 * asked.seconds, run: product },
    { label: 'step by threads', seconds: 3 + 2 * asked.seconds, run: step },
  ];
}
