// Fills in the gaps of a text with a trained run. Runs in a process of its own.
import { fillIn } from '../engine/fill';
import { SpecError } from '../spec/error';
import type { TaskData } from '../tasks/define';
import { gapParts, readGaps } from '../tasks/masked';
import type { Piece } from './continue';
import type { FillRequest } from './contract';
import { PIECE_MS, refuseForeign, type TrainedRun, turns, withTrained } from './trained';

export interface Filling extends TrainedRun, Omit<FillRequest, 'run'> {}

/**
 * Fills in all gaps, calling back with the whole text after each pass; the last piece is `done`.
 * @throws SpecError for a run that can't fill in, and a text without gaps or outside its vocabulary; Error of the device.
 */
export function fillRun(request: Filling, hear: (piece: Piece) => void): Promise<void> {
  const { prompt, passes, temperature, topK, topP, seed } = request;
  return withTrained(
    request,
    'masked',
    (data) => idsOf(prompt, data),
    async (model, data, given, precision) => {
      const maskToken = data.maskToken!;
      const gaps = given.filter((id) => id === maskToken).length;
      const from = performance.now();
      const piece = (ids: readonly number[], open: number): Piece => ({
        text: '',
        parts: gapParts(given, ids, data),
        tokens: gaps - open,
        tokensPerSecond: open < gaps ? (gaps - open) / Math.max(1e-6, (performance.now() - from) / 1000) : null,
        stateBytes: null,
        precision,
        done: open === 0,
      });
      const turn = turns();
      let told = 0;
      await fillIn(model, given, {
        maskToken,
        passes,
        temperature,
        topK,
        topP,
        seed,
        async onPass(ids, open) {
          const now = performance.now();
          if (open === 0 || now - told >= PIECE_MS) {
            hear(piece(ids, open));
            told = now;
          }
          await turn();
          return undefined;
        },
      });
    },
  );
}

/** @throws SpecError for a text without gaps, and naming the characters that the vocabulary lacks. */
function idsOf(text: string, data: TaskData): number[] {
  const ids = readGaps(text, data);
  refuseForeign(
    text.replaceAll(/\\?_/g, (sign) => sign.slice(1)),
    data,
  );
  if (!ids.includes(data.maskToken!))
    throw new SpecError([
      {
        path: 'prompt',
        message: 'the text has no gap to fill in',
        hint: 'write _ for each token that the model shall fill in, as in: the wh___ whale',
      },
    ]);
  return ids;
}
