// archlab bench: what this machine does with our kernels and models, a line a measurement, or a JSON object a line on request.
import { type BenchOptions, lineOf, type Precision, runBench, SECTIONS } from '../../engine/bench';
import { answer, CommandError, type ExitCode, say } from './command';
import { parseDevice } from './train';

export { SECTIONS };

export interface BenchCommand {
  all?: boolean;
  brief?: boolean;
  only?: string;
  decode?: boolean;
  scaling?: boolean;
  torch?: boolean;
  configs?: string;
  blocks?: string;
  precision?: string;
  device: string;
  threads?: number;
  seconds?: number;
  longest: number;
  contexts?: string;
  lengths?: string;
  json?: boolean;
}

const listed = (text: string | undefined): string[] | undefined => text?.split(',').map((name) => name.trim());

/** Numbers from 1 on, in order. */
function numbers(option: string, text: string | undefined): number[] | undefined {
  if (text === undefined) return undefined;
  const values = listed(text)!.map(Number);
  if (!values.every((value) => Number.isInteger(value) && value > 0))
    throw new CommandError(`${option}: ${text} is not a list of whole numbers from 1 on, such as 256,1024`, 2);
  return values.sort((a, b) => a - b);
}

function sections({ only, decode, scaling, torch }: BenchCommand): string[] | undefined {
  const named = [...(decode ? ['decode'] : []), ...(scaling ? ['scaling'] : []), ...(torch ? ['torch'] : [])];
  if (only !== undefined && named.length)
    throw new CommandError(`--only and --${named[0]} say the same thing; name the sections in --only`, 2);
  return named.length ? named : listed(only);
}

/**
 * What the command asks of the engine.
 * @throws CommandError for a list that is none, an unknown device, or sections named twice.
 */
export function optionsOf(command: BenchCommand): BenchOptions {
  const { configs, blocks, precision, device, threads, seconds, longest } = command;
  if (command.all && command.brief)
    throw new CommandError('--all and --brief ask for opposite things; leave one out', 2);
  return {
    // A table for the eye is brief; what a program reads is whole.
    brief: command.brief ?? !(command.all || command.json),
    only: sections(command),
    configs: listed(configs),
    blocks: listed(blocks),
    precisions: listed(precision) as Precision[] | undefined,
    device: parseDevice(device),
    threads,
    seconds,
    longest,
    contexts: numbers('--contexts', command.contexts),
    lengths: numbers('--lengths', command.lengths),
  };
}

export async function bench(command: BenchCommand): Promise<ExitCode> {
  const { json } = command;
  for await (const row of asked(optionsOf(command))) answer(json ? JSON.stringify(row) : lineOf(row));
  return 0;
}

/** The rows; a name that is not there is the caller's mistake, not ours. */
async function* asked(options: BenchOptions) {
  try {
    yield* runBench(options, say);
  } catch (error) {
    const { message } = error as Error;
    throw message.startsWith('bench: unknown') ? new CommandError(message.slice('bench: '.length), 2) : error;
  }
}
