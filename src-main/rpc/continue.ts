// Continues a prompt with a trained run. Runs in a process of its own.
import { stateBytesOf } from '../engine/decode';
import { generate } from '../engine/generate';
import type { TaskData } from '../tasks/define';
import { pieces } from '../tasks/pieces';
import type { GenerationPiece, GenerationRequest } from './contract';
import { PIECE_MS, refuseForeign, type TrainedRun, turns, withTrained } from './trained';

export interface Continuation extends TrainedRun, Omit<GenerationRequest, 'run'> {}
export type Piece = Omit<GenerationPiece, 'id' | 'error'>;

/** What an empty prompt begins with, where the vocabulary has it. */
const NEW_LINE = '\n';

/**
 * Writes on, calling back with each piece; the last one is `done`.
 * @throws SpecError for a run that can't write on, and a prompt outside its vocabulary; Error of the device.
 */
export function continueRun(request: Continuation, hear: (piece: Piece) => void): Promise<void> {
  const { prompt, length, temperature, topK, topP, seed } = request;
  return withTrained(
    request,
    'next_token',
    (data) => idsOf(prompt, data),
    async (model, data, given, precision) => {
      const { add, rest } = pieces(data.decode);
      const meter = new Meter();
      let text = '';
      let told = performance.now();
      await generate(model, {
        prompt: given,
        length,
        temperature,
        topK,
        topP,
        seed,
        onToken(id, _index, state) {
          meter.count(state ? stateBytesOf(state) : null);
          text += add(id);
          const now = performance.now();
          if (!text || (meter.tokens > 1 && now - told < PIECE_MS)) return undefined;
          hear({ ...meter.reading(), precision, text, done: false });
          text = '';
          told = now;
          return undefined;
        },
        onRead: turns(),
      });
      hear({ ...meter.reading(), precision, text: text + rest(), done: true });
    },
  );
}

/** Counts tokens and their pace from the first one on, so that loading and the prompt do not count. */
class Meter {
  tokens = 0;
  #stateBytes: number | null = null;
  #first = 0;
  #last = 0;
  count(stateBytes: number | null): void {
    this.#last = performance.now();
    if (this.tokens === 0) this.#first = this.#last;
    this.tokens += 1;
    this.#stateBytes = stateBytes;
  }
  reading(): Pick<Piece, 'tokens' | 'tokensPerSecond' | 'stateBytes'> {
    const seconds = (this.#last - this.#first) / 1000;
    return {
      tokens: this.tokens,
      tokensPerSecond: this.tokens > 1 && seconds > 0 ? (this.tokens - 1) / seconds : null,
      stateBytes: this.#stateBytes,
    };
  }
}

/** @throws SpecError naming the characters that the vocabulary lacks. */
function idsOf(prompt: string, data: TaskData): number[] {
  if (prompt === '') return data.decode(data.encode(NEW_LINE)) === NEW_LINE ? data.encode(NEW_LINE) : [];
  refuseForeign(prompt, data);
  return data.encode(prompt);
}
