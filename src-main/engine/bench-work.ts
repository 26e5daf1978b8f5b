// What the sections of the benchmark share: work to be done in order, the sizes asked for, and the device as each row has it.
import { type DeviceFacts, measurePeak, useDevice } from '../ops';
import type { DeviceId } from '../spec/run';
import type { Precision } from './bench-models';
import { type Row, spread } from './bench-rows';

/** One measurement, or a few that take turns. */
export interface Work {
  label: string;
  /** About how long it takes, for the time left. */
  seconds: number;
  run(): Promise<Row[]>;
}

/** What was asked for, with the defaults filled in. */
export interface Asked {
  device: DeviceId;
  threads: number | undefined;
  configs: readonly string[];
  blocks: readonly string[];
  precisions: readonly Precision[];
  /** Seconds of measured time a row. */
  seconds: number;
  /** No work that would take longer than this is begun. */
  longest: number;
  contexts: readonly number[];
  lengths: readonly number[];
  /** A part of each section only, chosen so that all of them together take a few minutes. */
  brief: boolean;
}

/** Makes the device current as asked. */
export const open = ({ device, threads }: Asked, precision: Precision = 'float32', count = threads) =>
  useDevice(device, { threads: count, precision });

/** What every row says of how it was taken. */
export const taken = (facts: DeviceFacts, precision: Precision) => ({
  device: facts.id as string,
  threads: facts.threads,
  precision,
});

/** The peak of multiply-adds now, quickly; undefined without a probe. */
export const quickPeak = (threads: number, precision: Precision) => measurePeak(threads, precision, 200_000);

/** Milliseconds of a call, again and again for `ms` and at least three times; the first call is not counted. */
export function repeat(run: () => void, ms: number, most = 1000) {
  run();
  const times: number[] = [];
  const end = performance.now() + ms;
  while (times.length < 3 || (times.length < most && performance.now() < end)) {
    const start = performance.now();
    run();
    times.push(performance.now() - start);
  }
  return spread(times);
}
