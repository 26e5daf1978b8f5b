// What a masked run shows: its hidden tokens filled in, with their places in the text and what was due.
import { beforeEach, expect, it } from 'vitest';
import { catalogue } from '../blocks';
import { buildModel } from '../engine/build';
import { useDevice } from '../ops';
import { parseRun } from '../spec/run';
import { makeRunData, tasks } from '../tasks';
import { MASK_SIGN } from '../tasks/masked';
import { Control } from './control';
import { sampler } from './sample';

beforeEach(() => useDevice('cpu', { threads: 1 }).then(() => {}));

it('fills in a validation row, or the prompt of the run', async () => {
  for (const prompt of ['', 'Call me Ishmael']) {
    const spec = parseRun(
      {
        format: 'archlab.run/1',
        model: {
          format: 'archlab.model/1',
          width: 8,
          layers: [{ block: 'hydra', options: { headDim: 8, dState: 4 } }],
        },
        task: { id: 'text', options: { tokens: 40 } },
        objective: { kind: 'masked', maskRatio: 0.2 },
        samples: { prompt, length: 30 },
        budget: { steps: 20 },
      },
      catalogue,
      tasks,
    );
    const data = makeRunData(spec);
    const model = buildModel(spec.model, { ...data, seed: 1, order: 'any' });
    const draw = sampler(spec, model, data, new Control(), () => expect.unreachable('nothing to warn of'))!;
    const shown = (await draw(5))!;
    const whole = prompt || data.decode(data.batch('validation', 0, 1).targets.subarray(0, 30));
    expect(shown.fills).toHaveLength(Math.round(0.2 * whole.length));
    expect(shown.prompt.split(MASK_SIGN)).toHaveLength(shown.fills!.length + 1);
    // With what was due in the places of the fills the text is the true one.
    let text = shown.text;
    for (const { at, length, due } of [...shown.fills!].reverse())
      text = text.slice(0, at) + due + text.slice(at + length);
    expect(text).toBe(whole);
    expect(await draw(5)).toEqual(shown);
    model.dispose();
  }
});
