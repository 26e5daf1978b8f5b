// How fast runs really advance, by the clock: training time alone leaves out evaluations, samples, checkpoints and the log.
import type { RunRecord } from '../store/run';

/** Looks back this far, so that a machine that became slower or faster shows. */
const WINDOW_MS = 30_000;
/** Before this much has passed there is no pace to speak of. */
const LEAST_MS = 2000;

type Sight = { at: number; step: number };

/** Remembers where running runs stood. A pause, an end or a step back begins anew. */
export class Pace {
  readonly #sights = new Map<string, Sight[]>();

  /** Takes down where a run stands; gives the seconds a step by the clock, null while they are not known. */
  see({ id, status, step }: Pick<RunRecord, 'id' | 'status' | 'step'>, now: number): number | null {
    let sights = this.#sights.get(id) ?? [];
    if (status !== 'running') {
      this.#sights.delete(id);
      return null;
    }
    if (step < (sights.at(-1)?.step ?? 0)) sights = [];
    if (step !== sights.at(-1)?.step) sights.push({ at: now, step });
    // The newest of those that are old enough to begin the window stays.
    while (sights.length > 2 && now - sights[1].at > WINDOW_MS) sights.shift();
    this.#sights.set(id, sights);
    const [first] = sights;
    return now - first.at < LEAST_MS || step === first.step ? null : (now - first.at) / 1000 / (step - first.step);
  }
}
