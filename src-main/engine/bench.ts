// Measures the engine, section by section: the machine's roofs, products, single kernels, whole steps, decoding, growth with length, threads, other engines.
import { availableParallelism, cpus, release, type as systemType, totalmem } from 'node:os';
import { fallbacks } from '../ops';
import type { DeviceId } from '../spec/run';
import { decoding } from './bench-decode';
import { kernelCalls } from './bench-kernels';
import { BLOCKS, CONFIGS, PRECISIONS, type Precision } from './bench-models';
import { peaks } from './bench-peaks';
import { peers } from './bench-peers';
import { products } from './bench-products';
import type { Row } from './bench-rows';
import { scaling } from './bench-scaling';
import { steps } from './bench-steps';
import { threads } from './bench-threads';
import { torch, torchDecoding } from './bench-torch';
import { type Asked, open, type Work } from './bench-work';
import { TORCH_PYTHON } from './torch-server';

export { BLOCKS, benchModel, CONFIGS, type Precision } from './bench-models';
export { lineOf, type Row } from './bench-rows';

/** In the order in which they run. */
const SECTION: Record<string, (asked: Asked) => Work[]> = {
  peak: peaks,
  matmul: (asked) => products(asked),
  kernels: (asked) => kernelCalls(asked),
  steps,
  decode: decoding,
  threads,
  peers,
  torch,
  'torch-decode': torchDecoding,
  scaling,
};
export const SECTIONS: readonly string[] = Object.keys(SECTION);
/**
 * What runs when nothing is named: growth with length is asked for by name, and PyTorch, which takes long, by name or by its variable. `torch` includes
 * `torch-decode`.
 */
const USUAL_SECTIONS: readonly string[] = SECTIONS.filter(
  (name) => name !== 'scaling' && name !== 'torch-decode' && (name !== 'torch' || TORCH_PYTHON in process.env),
);

export interface BenchOptions {
  /** A part of each section, for a first look in about four minutes; not where sections, sizes or blocks are named. */
  brief?: boolean;
  /** Of SECTIONS; default USUAL_SECTIONS. */
  only?: readonly string[];
  /** Of CONFIGS; default S, M, L. */
  configs?: readonly string[];
  /** Of BLOCKS, which is the default. */
  blocks?: readonly string[];
  precisions?: readonly Precision[];
  device?: DeviceId;
  threads?: number;
  /** Seconds of measured time a row (default 1.5, brief 0.3); what is slower is measured once or twice. */
  seconds?: number;
  /** Seconds that one step may take (default 12): longer ones are left out, with a row that says so. */
  longest?: number;
  /** Contexts of decoding. */
  contexts?: readonly number[];
  /** Lengths of scaling. */
  lengths?: readonly number[];
}

function known(what: string, asked: readonly string[], all: readonly string[]): void {
  const wrong = asked.find((name) => !all.includes(name));
  if (wrong !== undefined)
    throw new Error(`bench: unknown ${what} ${wrong || '(nothing)'}; there are ${all.join(', ')}`);
}

/**
 * Takes the measurements one after another and gives each row as it comes; `progress` hears what is being measured.
 * @throws for a name that is not there, before anything is measured.
 */
export async function* runBench(
  options: BenchOptions = {},
  progress: (line: string) => void = () => undefined,
): AsyncGenerator<Row> {
  const brief = options.brief === true && !options.only && !options.configs && !options.blocks;
  const {
    only = USUAL_SECTIONS,
    configs = Object.keys(CONFIGS),
    blocks = BLOCKS,
    precisions = PRECISIONS,
    device = 'cpu',
    threads,
    seconds = brief ? 0.3 : 1.5,
    longest = 12,
    contexts = brief ? [1024] : [256, 1024, 4096, 16_384],
    lengths = [256, 1024, 4096, 16_384],
  } = options;
  known('section', only, SECTIONS);
  known('configuration', configs, Object.keys(CONFIGS));
  known('block', blocks, BLOCKS);
  known('precision', precisions, PRECISIONS);
  const asked: Asked = { device, threads, configs, blocks, precisions, seconds, longest, contexts, lengths, brief };
  const facts = await open(asked);
  if (!facts.threads || facts.id !== 'cpu' || facts.kernelVersion.startsWith('tfjs')) asked.precisions = ['float32'];
  yield {
    kind: 'machine',
    processor: cpus()[0]?.model.trim() ?? 'unknown processor',
    cores: availableParallelism(),
    memoryGiB: Math.round((10 * totalmem()) / 2 ** 30) / 10,
    system: `${systemType()} ${release()}`,
    node: process.version,
    device: facts.id,
    deviceDetail: facts.detail,
    threads: facts.threads,
    kernelVersion: facts.kernelVersion,
  };
  const work = SECTIONS.filter((name) => only.includes(name)).flatMap((section) =>
    SECTION[section](asked).map((one) => ({ ...one, section })),
  );
  const told = new Set<string>();
  const expected = work.reduce((sum, one) => sum + one.seconds, 0);
  const start = performance.now();
  let begun = 0; // of the expected seconds
  for (const [i, { section, label, seconds: guess, run }] of work.entries()) {
    const passed = (performance.now() - start) / 1000;
    // After a while the machine's own pace corrects the guesses.
    const pace = begun > 20 ? passed / begun : 1;
    progress(`[${i + 1}/${work.length}] ${label}; about ${duration((expected - begun) * pace)} left`);
    yield* await run();
    begun += guess;
    for (const sentence of fallbacks()) {
      // Other engines run compositions by design.
      if (section !== 'peers' && !told.has(sentence)) yield { kind: 'fallback', sentence };
      told.add(sentence);
    }
  }
}

const duration = (seconds: number): string =>
  seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;
