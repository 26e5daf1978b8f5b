// What a run shows of its model while it trains: a text that it writes on, or one whose hidden tokens it fills in.
import type { Model } from '../engine/build';
import { fillIn } from '../engine/fill';
import { generate } from '../engine/generate';
import { SpecError } from '../spec/error';
import type { Fill } from '../spec/event';
import type { RunSpec } from '../spec/run';
import type { TaskData } from '../tasks/define';
import { chosenPlaces } from '../tasks/masked';
import type { Control } from './control';

export interface Shown {
  prompt: string;
  text: string;
  fills?: Fill[];
}
type Warn = (warning: { code: string; message: string }) => void;

/** Draws the text of `sample` events, from the run's prompt or the task's; a model that can't says so once. */
export function sampler(
  spec: RunSpec,
  model: Model,
  data: TaskData,
  control: Control,
  warn: Warn,
): ((step: number) => Promise<Shown | undefined>) | undefined {
  const { samples, objective, seed } = spec;
  const own = samples.prompt ? data.encode(samples.prompt) : data.prompt;
  if (!own) return undefined;
  const prompt = own;
  const { maskToken } = data;
  async function continued(step: number): Promise<Shown> {
    const ids = await generate(model, {
      prompt,
      length: samples.length,
      temperature: samples.temperature,
      seed: (seed + step) >>> 0,
      onToken: () => !control.ending,
    });
    return { prompt: data.decode(prompt), text: data.decode(ids) };
  }
  async function filled(step: number, maskToken: number, ratio: number): Promise<Shown> {
    // The run's own prompt, or else a row that the model never trains on, always hidden in the same places.
    const whole = samples.prompt ? prompt.slice(0, data.tokens) : validationRow(data, samples.length);
    const hidden = new Set(chosenPlaces(whole.length, ratio, 'sample'));
    const given = whole.map((id, t) => (hidden.has(t) ? maskToken : id));
    const ids = await fillIn(model, given, {
      maskToken,
      temperature: samples.temperature,
      seed: (seed + step) >>> 0,
    });
    return { prompt: data.decode(given), ...withFills(data, whole, ids, hidden) };
  }
  let able = true;
  return async (step) => {
    if (!able) return undefined;
    try {
      return objective.kind === 'masked' && maskToken !== undefined
        ? await filled(step, maskToken, objective.maskRatio)
        : await continued(step);
    } catch (error) {
      if (!(error instanceof SpecError)) throw error;
      able = false;
      warn({ code: 'no_samples', message: `No samples are drawn: ${error.message}.` });
      return undefined;
    }
  };
}

function validationRow(data: TaskData, most: number): number[] {
  const { targets, tokens } = data.batch('validation', 0, 1);
  return Array.from(targets.subarray(0, Math.min(tokens, most)));
}

/** The text of filled ids, and where in it the filled tokens stand. */
function withFills(data: TaskData, whole: readonly number[], ids: readonly number[], hidden: ReadonlySet<number>) {
  let text = '';
  const fills: Fill[] = [];
  let from = 0;
  for (let t = 0; t <= ids.length; t++) {
    if (t < ids.length && !hidden.has(t)) continue;
    text += data.decode(ids.slice(from, t));
    if (t < ids.length) {
      const one = data.decode([ids[t]]);
      fills.push({ at: text.length, length: one.length, due: data.decode([whole[t]]) });
      text += one;
    }
    from = t + 1;
  }
  return { text, fills };
}
