// What the benchmark reports: one plain object a measurement, and how it reads on a line.
import type { Precision } from './bench-models';

export interface Spread {
  median: number;
  min: number;
  max: number;
  /** Measurements taken. */
  samples: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = sorted.length % 2 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1], samples: sorted.length };
}

/** Where the time of a step goes, in percent of it. */
export interface Groups {
  matmul: number;
  mixer: number;
  norms: number;
  loss: number;
  optimiser: number;
  /** Native kernels of none of these. */
  other: number;
  /** Outside of native kernels. */
  javascript: number;
}

/** Times of PyTorch in milliseconds, taken in turn with ours. */
interface OfTorch {
  torch: Spread;
  /** How many times as fast ours is, pair by pair. */
  timesTorch: Spread;
  /** Processor time, all threads together: steadier where other work disturbs the machine. */
  torchCpu: Spread;
  timesTorchCpu: Spread;
}

interface BesideTorch extends OfTorch {
  /** Of PyTorch. */
  version: string;
  parameters: number;
  captured: boolean;
  ours: Spread;
  oursCpu: Spread;
}

/** What each row says of how it was taken. */
interface Taken {
  device: string;
  threads: number;
  precision: Precision;
}

export type Row =
  | {
      kind: 'machine';
      processor: string;
      cores: number;
      memoryGiB: number;
      system: string;
      node: string;
      device: string;
      deviceDetail: string;
      threads: number;
      kernelVersion: string;
    }
  | (Taken & { kind: 'peak'; gflops: Spread })
  /** Bytes moved in 1e9 a second; `bytes` is the memory walked through. */
  | (Taken & { kind: 'bandwidth'; way: 'read' | 'copy'; bytes: number; gigabytesPerSecond: number })
  | (Taken & {
      kind: 'matmul';
      name: string;
      m: number;
      n: number;
      k: number;
      ms: Spread;
      gflops: Spread;
      /** Of the peak probed just before; null without a probe for the precision. */
      peakShare: number | null;
    })
  | (Taken & {
      kind: 'kernel';
      name: string;
      pass: 'forward' | 'backward';
      config: string;
      /** Blocks whose step makes this call. */
      blocks: string[];
      /** Sizes as native code is given them. */
      ints: number[];
      bytes: number;
      /** Multiply-adds count as two; 0 where only bytes are counted. */
      flop: number;
      ms: Spread;
      /** The longer of flop / peak and bytes / bandwidth of a working set of that size. */
      floorMs: number;
      bound: 'flop' | 'bytes';
      /** floorMs / median. */
      floorShare: number;
    })
  | (Taken & {
      kind: 'step';
      config: string;
      block: string;
      parameters: number;
      tokensPerStep: number;
      captured: boolean;
      ms: Spread;
      /** Processor time of all threads: it counts less of what else runs on the machine. */
      cpuMs?: Spread;
      tokensPerSecond: Spread;
      /** By the model's own count of useful operations. */
      gflops: number;
      peakShare: number | null;
      /** Of one thread's peak, by processor time instead of the clock: what else runs on the machine hardly counts. */
      cpuPeakShare?: number;
      groups?: Groups;
      kernelPercent?: Record<string, number>;
      /** The same step computed op by op, in turn. */
      computedMs?: Spread;
      /** Beside weights and the optimiser's state. */
      workingBytes?: number;
      /** How many times as fast as the first precision of the same model, in turn with it. */
      timesFirst?: number;
    })
  | (Taken & {
      kind: 'decode';
      config: string;
      block: string;
      context: number;
      batch: number;
      captured: boolean;
      usPerToken: Spread;
      cpuUsPerToken: number;
      /** Of the time a token, by native kernel; the rest is JavaScript. */
      kernelPercent?: Record<string, number>;
      /** Read once a token: weights, of two bytes in bfloat16, and state. */
      bytesPerToken: number;
      /** bytesPerToken at the read bandwidth of that much memory. */
      floorUs: number | null;
      floorShare: number | null;
      /** As the tensors are, and as the cost model says, a sequence. */
      stateBytes: number;
      modelStateBytes: number;
      note: string;
    })
  | (Taken & {
      kind: 'scaling';
      config: string;
      block: string;
      tokens: number;
      usPerToken: Spread;
      /** Processor time of all threads. */
      cpuUsPerToken: number;
      /** Of that in the block's own kernels, products with its weights left out; absent where it has none. */
      mixerUsPerToken?: number;
      workingBytes: number;
      workingBytesPerToken: number;
    })
  | {
      kind: 'scaling-verdict';
      block: string;
      from: number;
      to: number;
      /** Processor time per token at `to` over that at `from`, by medians. */
      timeRatio: number;
      mixerTimeRatio?: number;
      /** Working memory per token, likewise: about 1 is linear. */
      memoryRatio: number;
      sentence: string;
    }
  | (Taken & {
      kind: 'threads';
      what: string;
      ms: Spread;
      gflops: number;
      /** Times as fast as on one thread, in turn with it. */
      timesOne: number;
    })
  | (Taken & {
      kind: 'peer';
      peer: string;
      version: string;
      config: string;
      block: string;
      ms: Spread;
      warmedUp: boolean;
      ours: Spread;
      /** How many times as fast we are: median over median. */
      timesPeer: number;
      note: string;
    })
  /** A training step here and in PyTorch eager; milliseconds. */
  | (Taken &
      BesideTorch & {
        kind: 'torch-step';
        config: string;
        block: string;
        /** The way of computing the mixer that was PyTorch's fastest, and processor milliseconds of a step in each. */
        form: string;
        forms: Record<string, number>;
        /** Where the fastest has its backward written by hand: the form that autograd differentiates, and the other way round. */
        otherForms: Record<string, OfTorch>;
        /** Between the two losses on the same weights, as a part of ours. */
        lossDifference: number;
        kernelPercent: Record<string, number>;
      })
  /** A token decoded here and in PyTorch eager, milliseconds: of bursts in turn without their first tokens. `timesTorch` is of the medians, round by round. */
  | (Taken &
      BesideTorch & {
        kind: 'torch-decode';
        config: string;
        block: string;
        /** Tokens before each burst, tokens in it, and how many of its first are left out; rounds of a burst on each side. */
        context: number;
        burst: number;
        leftOut: number;
        rounds: number;
        /** PyTorch's fastest way of those tried, and milliseconds of a token in each. */
        form: string;
        forms: Record<string, number>;
      })
  | { kind: 'skipped'; what: string; why: string }
  | { kind: 'fallback'; sentence: string };

const fixed = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
const percent = (share: number | null): string => (share === null ? '' : `, ${(100 * share).toFixed(0)} %`);
const between = ({ median, min, max }: Spread): string => `${fixed(median)} (${fixed(min)} to ${fixed(max)})`;
const times = ({ median, min, max }: Spread): string => `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;
const much = (bytes: number): string =>
  bytes >= 2 ** 20 ? `${fixed(bytes / 2 ** 20)} MiB` : bytes >= 1024 ? `${fixed(bytes / 1024)} KiB` : `${bytes} bytes`;
const plural = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;
const taken = ({ threads, precision }: Taken): string => `${precision} on ${plural(threads, 'thread')}`;

const groupsLine = (groups: Groups): string =>
  Object.entries(groups)
    .filter(([, share]) => share >= 0.05)
    .map(([name, share]) => `${name} ${share.toFixed(1)} %`)
    .join(', ');

const otherForm = ([name, { torch, timesTorch, timesTorchCpu }]: [string, OfTorch]): string =>
  `\n  PyTorch ${between(torch)} (${name}): ${times(timesTorch)} times as fast, by processor time ${timesTorchCpu.median.toFixed(2)}`;

/** A row as people read it. */
export function lineOf(row: Row): string {
  switch (row.kind) {
    case 'machine':
      return `${row.processor}, ${plural(row.cores, 'core')}, ${row.deviceDetail}, kernels ${row.kernelVersion}`;
    case 'peak':
      return `peak, ${taken(row)}: ${fixed(row.gflops.median)} GFLOP/s of multiply-adds`;
    case 'bandwidth':
      return `memory, ${plural(row.threads, 'thread')}: ${row.way} ${much(row.bytes)} at ${fixed(row.gigabytesPerSecond)} GB/s`;
    case 'matmul':
      return `${row.name}, ${taken(row)}: ${between(row.gflops)} GFLOP/s${percent(row.peakShare)}${row.peakShare === null ? '' : ' of the peak'}`;
    case 'kernel':
      return `${row.config} ${row.name} [${row.ints.join(', ')}], ${taken(row)}: ${between(row.ms)} ms${percent(row.floorShare)} of the floor by ${row.bound}`;
    case 'step':
      return (
        `${row.config} ${row.block}, ${taken(row)}: ${between(row.ms)} ms a step${row.cpuMs ? ` (${fixed(row.cpuMs.median)} of CPU)` : ''}, ${fixed(row.tokensPerSecond.median)} tokens/s, ` +
        `${fixed(row.gflops)} GFLOP/s${percent(row.peakShare)}${row.peakShare === null ? '' : ' of the peak'}` +
        `${row.cpuPeakShare === undefined ? '' : ` (${(100 * row.cpuPeakShare).toFixed(0)} % by processor time)`}` +
        `${row.captured ? '' : ', not captured'}${row.timesFirst ? `, ${row.timesFirst.toFixed(2)} times the first precision` : ''}` +
        `${row.groups ? `\n  ${groupsLine(row.groups)}` : ''}`
      );
    case 'decode':
      return (
        `${row.config} ${row.block}, ${taken(row)}, decodes after ${row.context} tokens: ${between(row.usPerToken)} us a token, ${fixed(row.cpuUsPerToken)} of CPU` +
        `${percent(row.floorShare)}${row.floorShare === null ? '' : ' of the floor'}${row.captured ? '' : ', not captured'}; state ${much(row.stateBytes)}` +
        (row.stateBytes === row.modelStateBytes
          ? ''
          : `, not the ${much(row.modelStateBytes)} that the cost model says`)
      );
    case 'scaling':
      return (
        `${row.block} over ${row.tokens} tokens: ${between(row.usPerToken)} us a token, ${fixed(row.cpuUsPerToken)} of CPU` +
        `${row.mixerUsPerToken === undefined ? '' : `, of it ${fixed(row.mixerUsPerToken)} in its own kernels`}; ` +
        `working memory ${much(row.workingBytes)}, ${much(row.workingBytesPerToken)} a token`
      );
    case 'scaling-verdict':
      return row.sentence;
    case 'threads':
      return `${row.what} on ${plural(row.threads, 'thread')}: ${between(row.ms)} ms, ${fixed(row.gflops)} GFLOP/s, ${row.timesOne.toFixed(2)} times one thread`;
    case 'peer':
      return (
        `${row.config} ${row.block}: ${row.peer} ${between(row.ms)} ms a step${row.warmedUp ? '' : ', the first included'}, ` +
        `ours ${between(row.ours)}: ${fixed(row.timesPeer)} times as fast (${row.note})`
      );
    case 'torch-step':
    case 'torch-decode': {
      const what = row.kind === 'torch-step' ? 'ms a step' : `ms a token after ${row.context}`;
      const form = row.form ? ` (${row.form})` : '';
      return (
        `${row.config} ${row.block}, ${taken(row)}: ours ${between(row.ours)} ${what}, PyTorch ${row.version} ${between(row.torch)}${form}: ` +
        `${times(row.timesTorch)} times as fast, by processor time ${row.timesTorchCpu.median.toFixed(2)}, ` +
        (row.kind === 'torch-step' ? plural(row.ours.samples, 'pair') : plural(row.rounds, 'round')) +
        (row.kind === 'torch-step' ? Object.entries(row.otherForms).map(otherForm).join('') : '')
      );
    }
    case 'skipped':
      return `${row.what} left out: ${row.why}`;
    case 'fallback':
      return row.sentence;
  }
}
