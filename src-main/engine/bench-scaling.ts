// How time and memory grow with the length: one block forward and backward over ever longer sequences.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { blocks } from '../blocks';
import { kernelTimes, tf, withPeakBytes } from '../ops';
import { complete } from '../spec/options';
import { benchOptions, CONFIGS } from './bench-models';
import { type Row, type Spread, spread } from './bench-rows';
import { groupOf } from './bench-steps';
import { type Asked, open, taken, type Work } from './bench-work';
import { initialValues } from './build';

interface Measured {
  ms: Spread;
  /** Processor time: what else runs on the machine hardly counts, short pass or long. */
  cpuMs: Spread;
  /** The mixer's share of it; 0 where the block has no kernels of its own. */
  mixerMs: Spread;
  bytes: number;
}

/** A block with weights of its own, and the call that takes it forward and back over x [1, T, D]. */
function passOf(id: string, config: string, T: number) {
  const block = blocks.get(id)!;
  const { width: D } = CONFIGS[config];
  const given = { ...benchOptions(block, CONFIGS[config]) };
  if ('maxSeqLen' in given) given.maxSeqLen = T;
  const options = complete(block.options, given) as Record<string, unknown>;
  const names = Object.keys(block.weights(options, D));
  const weights = Object.entries(block.weights(options, D)).map(([name, spec]) =>
    tf.tensor(initialValues(1, name, spec, 1), [...spec.shape]),
  );
  const x = tf.randomNormal([1, T, D]) as Tensor3D;
  const dy = tf.randomNormal([1, T, D]);
  const forward = (input: Tensor, ...own: Tensor[]) => {
    const named = Object.fromEntries(names.map((name, i) => [name, own[i]]));
    return block.layer.forward(input as Tensor3D, named, { options, training: true, shared: {} });
  };
  const slopes = tf.grads(forward);
  return {
    run: () => tf.tidy(() => void slopes([x, ...weights], dy)),
    dispose: () => tf.dispose([x, dy, ...weights]),
  };
}

const mixerTime = (): number =>
  [...kernelTimes()].reduce((sum, [name, ms]) => sum + (groupOf(name) === 'mixer' ? ms : 0), 0);

function measure(id: string, config: string, T: number, seconds: number): Measured {
  const pass = passOf(id, config, T);
  try {
    const first = performance.now();
    pass.run();
    const slow = performance.now() - first > 2000 * seconds;
    const times: number[] = [];
    const cpu: number[] = [];
    const inMixer: number[] = [];
    let bytes = 0;
    const end = performance.now() + 1000 * seconds;
    while (times.length < (slow ? 1 : 3) || (!slow && times.length < 30 && performance.now() < end)) {
      const before = mixerTime();
      const used = process.cpuUsage();
      const start = performance.now();
      bytes = withPeakBytes(pass.run).bytes ?? 0;
      const ms = performance.now() - start;
      const { user, system } = process.cpuUsage(used);
      times.push(ms);
      cpu.push((user + system) / 1000);
      inMixer.push((cpu[cpu.length - 1] * (mixerTime() - before)) / ms);
    }
    return { ms: spread(times), cpuMs: spread(cpu), mixerMs: spread(inMixer), bytes };
  } finally {
    pass.dispose();
  }
}

const each = ({ median, min, max, samples }: Spread, by: number): Spread => ({
  median: median / by,
  min: min / by,
  max: max / by,
  samples,
});

async function lengthsOf(asked: Asked, config: string, block: string): Promise<Row[]> {
  const facts = await open(asked);
  const rows: Row[] = [];
  const done = new Map<number, Measured>();
  let last: { T: number; ms: number } | undefined;
  for (const T of asked.lengths) {
    // At worst the time grows with the square of the length.
    const predicted = last ? last.ms * (T / last.T) ** 2 : 0;
    if (predicted > 4000 * asked.longest) {
      const why = `a pass could take ${(predicted / 1000).toFixed(0)} s; --longest allows more`;
      rows.push({ kind: 'skipped', what: `${block} over ${T} tokens`, why });
      break;
    }
    const measured = measure(block, config, T, asked.seconds);
    await new Promise((resolve) => setImmediate(resolve));
    done.set(T, measured);
    last = { T, ms: measured.ms.median };
    rows.push({
      kind: 'scaling',
      ...taken(facts, 'float32'),
      config,
      block,
      tokens: T,
      usPerToken: each(measured.ms, T / 1000),
      cpuUsPerToken: (1000 * measured.cpuMs.median) / T,
      ...(measured.mixerMs.max > 0 && { mixerUsPerToken: (1000 * measured.mixerMs.median) / T }),
      workingBytes: measured.bytes,
      workingBytesPerToken: measured.bytes / T,
    });
  }
  return [...rows, ...verdict(block, done)];
}

/** The growth from 1,024 tokens (or the shortest) to the longest length. */
function verdict(block: string, done: ReadonlyMap<number, Measured>): Row[] {
  const lengths = [...done.keys()];
  const from = lengths.find((T) => T >= 1024) ?? lengths[0];
  const to = lengths.at(-1);
  if (to === undefined || from === to) return [];
  const [a, b] = [done.get(from)!, done.get(to)!];
  const growth = (of: (measured: Measured) => number) => of(b) / to / (of(a) / from);
  const timeRatio = growth(({ cpuMs }) => cpuMs.median);
  const mixerTimeRatio = a.mixerMs.median > 0 ? growth(({ mixerMs }) => mixerMs.median) : undefined;
  const memoryRatio = growth(({ bytes }) => bytes);
  const sentence =
    `${block}: a token at ${to} takes ${timeRatio.toFixed(2)} times as long as at ${from}` +
    `${mixerTimeRatio === undefined ? '' : ` (${mixerTimeRatio.toFixed(2)} in its own kernels)`}, ` +
    `and ${memoryRatio.toFixed(2)} times the memory: ${memoryRatio < 1.1 ? 'linear' : 'more than linear'} in memory, ` +
    `${timeRatio <= 1.3 ? 'linear' : 'more than linear'} in time`;
  return [{ kind: 'scaling-verdict', block, from, to, timeRatio, mixerTimeRatio, memoryRatio, sentence }];
}

/** Each block alone, one sequence, at M's width. */
export function scaling(asked: Asked): Work[] {
  const config = asked.configs.includes('M') ? 'M' : asked.configs[0];
  return asked.blocks.map((block) => ({
    label: `${block} over ${asked.lengths.at(0)} to ${asked.lengths.at(-1)} tokens`,
    seconds: 2 * asked.lengths.length * asked.seconds,
    run: () => lengthsOf(asked, config, block),
  }));
}
