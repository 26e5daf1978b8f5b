// Single kernels beside their floor: every call that the steps of the measured blocks make, made again where it stands until its time is known.
import { kernels, type WatchedCall, watchKernels } from '../ops';
import { bytesMoved, flopOfCall } from './bench-flops';
import { ADAMW, CONFIGS, type Precision } from './bench-models';
import { roof } from './bench-peaks';
import { type Row, type Spread, spread } from './bench-rows';
import { benchOf } from './bench-steps';
import { type Asked, open, quickPeak, taken, type Work } from './bench-work';
import { gradientsOf } from './gradient';
import { globalNorm } from './optimiser';

interface Known {
  kernel: string;
  ints: number[];
  read: number;
  written: number;
  times: Spread;
  blocks: Set<string>;
}

/** Times of the same call, for at least this long and at least so often. */
const MS = 12;
const TIMES = 3;

/** Calls on less are all overhead. */
const LEAST_BYTES = 2 ** 16;

function timed(again: () => void): Spread {
  const times: number[] = [];
  const end = performance.now() + MS;
  while (times.length < TIMES || (times.length < 200 && performance.now() < end)) {
    const start = performance.now();
    again();
    times.push(performance.now() - start);
  }
  return spread(times);
}

/** Bytes of each array once, however often a call names it. */
const bytesOf = (arrays: WatchedCall['arrays']): number =>
  [...new Set(arrays)].reduce((sum, array) => sum + (array?.byteLength ?? 0), 0);

/** Runs one step of a block op by op; each call that `known` has not seen is measured at once. Later numbers of that step mean nothing. */
function look(config: string, block: string, known: Map<string, Known>, only: RegExp): void {
  const bench = benchOf(config, block);
  const watcher = ({ kernel, arrays, inputs, ints, again }: WatchedCall) => {
    if (!only.test(kernel)) return;
    const key = [kernel, ints, arrays.map((array) => array?.length)].join(' ');
    const seen = known.get(key);
    if (seen) {
      seen.blocks.add(block);
      return;
    }
    const moved = bytesMoved(kernel, ints);
    const read = moved?.read ?? bytesOf(arrays.slice(0, inputs));
    const written = moved?.written ?? bytesOf(arrays.slice(inputs));
    if (read + written < LEAST_BYTES) return;
    known.set(key, { kernel, ints: [...ints], read, written, times: timed(again), blocks: new Set([block]) });
  };
  try {
    watchKernels(watcher, () => {
      const { gradients, loss } = gradientsOf(bench.model, [bench.part], 0);
      globalNorm(gradients).dispose();
      bench.optimiser.update(gradients, ADAMW.lr);
      for (const tensor of [loss, ...gradients.values()]) tensor.dispose();
    });
  } finally {
    bench.dispose();
  }
}

function rowOf(
  { kernel, ints, read, written, times, blocks }: Known,
  { config, threads, peak }: { config: string; threads: number; peak: number | undefined },
) {
  const flop = flopOfCall(kernel, ints);
  const bytes = read + written;
  // As much read as written, or reading alone, whichever is nearer to what the kernel does.
  const bandwidth = roof(bytes, written > read / 4 ? 'copy' : 'read', threads) ?? Number.POSITIVE_INFINITY;
  const byFlop = peak ? flop / peak / 1e6 : 0;
  const byBytes = bytes / bandwidth / 1e6;
  const floorMs = Math.max(byFlop, byBytes);
  return {
    kind: 'kernel' as const,
    name: kernel,
    pass: /Grad$/.test(kernel) ? ('backward' as const) : ('forward' as const),
    config,
    blocks: [...blocks].sort(),
    ints,
    bytes,
    flop,
    ms: times,
    floorMs,
    bound: byFlop > byBytes ? ('flop' as const) : ('bytes' as const),
    floorShare: floorMs / times.median,
  };
}

/** Fused kernels first, then what composes the rest, the slowest calls first. */
const order = (a: Known, b: Known): number =>
  Number(kernels.has(b.kernel)) - Number(kernels.has(a.kernel)) ||
  a.kernel.replace(/Grad$/, '').localeCompare(b.kernel.replace(/Grad$/, '')) ||
  b.times.median - a.times.median;

/** Calls of compositions that take less than this are left out. */
const SHORTEST_MS = 0.02;

async function measure(
  asked: Asked,
  config: string,
  precision: Precision,
  threads: number,
  only: RegExp,
): Promise<Row[]> {
  const facts = await open(asked, precision, threads);
  const known = new Map<string, Known>();
  for (const block of asked.blocks) {
    await new Promise((resolve) => setImmediate(resolve)); // the progress line gets through
    look(config, block, known, only);
  }
  const peak = quickPeak(facts.threads, precision);
  return [...known.values()]
    .filter(({ times, kernel }) => kernels.has(kernel) || times.median >= SHORTEST_MS)
    .sort(order)
    .map((one): Row => ({ ...taken(facts, precision), ...rowOf(one, { config, threads: facts.threads, peak }) }));
}

/** The calls of every block at each size but the largest (L repeats M's kernels on longer rows), on one thread, in float32. */
export function kernelCalls(asked: Asked, only: RegExp = /./): Work[] {
  const configs = asked.configs.length > 1 ? asked.configs.filter((config) => config === 'M') : asked.configs;
  if (asked.device !== 'cpu') return [];
  return (configs.length ? configs : asked.configs.slice(0, 1)).flatMap((config) =>
    [asked.precisions[0]].map((precision) => ({
      label: `${config} kernels`,
      seconds: asked.blocks.length * (CONFIGS[config].width / 64),
      run: async () => {
        const rows = await measure(asked, config, precision, 1, only);
        await open(asked);
        return rows;
      },
    })),
  );
}
