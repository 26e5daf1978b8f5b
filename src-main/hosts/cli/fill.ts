// archlab fill RUN: a text whose gaps a trained model fills in, to stdout; how far it is, to stderr.
import { basename } from 'node:path';
import { fillShape } from '../../rpc/generations';
import { labFolder } from '../../runs/folder';
import type { GapPart } from '../../spec/gap';
import { answer, answerJson, CommandError, type ExitCode, Interrupt, say } from './command';
import { checked, type GenerateOptions, paceOf, writerOf, written } from './generate';

export interface FillOptions extends Omit<GenerateOptions, 'length'> {
  passes: number;
}

const joined = (parts: readonly GapPart[]) => parts.map(({ text }) => text).join('');

/** Exit code 1 where Ctrl-C ended it before all gaps were filled. */
export async function fill(run: string, options: FillOptions): Promise<ExitCode> {
  const { json, folder: lab, ...given } = options;
  const filling = checked(fillShape, 'fill', given);
  const folder = await writerOf(run, lab, 'masked');
  using interrupt = new Interrupt();
  let parts: GapPart[] = [];
  const work = { kind: 'fill', request: { ...filling, folder, lab: labFolder(lab) } } as const;
  const last = await written(work, interrupt, (piece) => {
    parts = piece.parts ?? parts;
    if (process.stderr.isTTY && !piece.done) process.stderr.write(`\r${piece.tokens} tokens filled in `);
  });
  if (process.stderr.isTTY) process.stderr.write('\r');
  if (last.error !== undefined) throw new CommandError(last.error);
  const { tokens, tokensPerSecond, precision } = last;
  const { prompt, seed, passes } = filling;
  if (json)
    answerJson({
      ...{ run: basename(folder), prompt, seed, passes, precision },
      ...{ text: joined(parts), parts, tokens, tokensPerSecond },
    });
  else if (parts.length) answer(joined(parts));
  say(`${tokens} tokens filled in${paceOf(last)}${precision === null ? '' : `, in ${precision}`}`);
  return interrupt.times ? 1 : 0;
}
