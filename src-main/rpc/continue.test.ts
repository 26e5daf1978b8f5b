// A trained run writes on: the likeliest text is the argmax of the parallel form, a seed fixes it, and what can't be written is said.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildModel } from '../engine/build';
import { newestCheckpoint } from '../engine/checkpoint';
import { loadWeights } from '../engine/trained';
import { memoryFacts, tf } from '../ops';
import { readSpec } from '../runs/folder';
import { makeTask } from '../tasks';
import { Control } from '../train/control';
import { work } from '../train/session';
import { type Continuation, continueRun, type Piece } from './continue';

let lab: string;
const folder = (id: string) => join(lab, 'runs', id);
function lay(id: string, task: object, layers: object[] = [{ block: 'softmax_attention' }, { block: 'gated_mlp' }]) {
  mkdirSync(folder(id), { recursive: true });
  const spec = {
    format: 'archlab.run/1',
    model: { format: 'archlab.model/1', width: 16, layers },
    task,
    schedule: { kind: 'constant', warmup: 0 },
    budget: { steps: 20 },
    batch: { size: 4 },
    optimiser: { kind: 'adamw', lr: 0.01 },
    evaluation: { every: 0, batches: 1 },
    samples: { every: 0, length: 1 },
    device: 'reference',
  };
  writeFileSync(join(folder(id), 'spec.json'), JSON.stringify(spec));
}
beforeAll(async () => {
  lab = mkdtempSync(join(tmpdir(), 'archlab-continue-'));
  mkdirSync(join(lab, 'texts'));
  writeFileSync(join(lab, 'texts', 'letters.txt'), 'дом и сад, сад и дом. '.repeat(40));
  lay('one', { id: 'text', options: { source: 'letters', vocabulary: 'characters', tokens: 12 } });
  const control = new Control();
  await work({ folder: folder('one'), lab, threads: 1, version: '0', control });
});
afterAll(() => rmSync(lab, { recursive: true, force: true }));

const usual = { prompt: 'дом', length: 8, temperature: 1, topK: 0, topP: 1, seed: 1 };
async function write(more: Partial<Continuation> = {}, id = 'one'): Promise<{ text: string; pieces: Piece[] }> {
  const pieces: Piece[] = [];
  await continueRun({ ...usual, folder: folder(id), lab, ...more }, (piece) => pieces.push(piece));
  return { text: pieces.map(({ text }) => text).join(''), pieces };
}

describe('a trained run', () => {
  it('writes the argmax of the parallel logits at temperature 0', async () => {
    const { text } = await write({ temperature: 0 });
    const spec = readSpec(folder('one'));
    const data = makeTask('text', spec.task.options, { seed: spec.seed, lab });
    const model = buildModel(spec.model, { vocabulary: data.vocabulary, tokens: data.tokens, seed: 99 });
    loadWeights(model, newestCheckpoint(folder('one')).checkpoint!);
    const ids = data.encode(usual.prompt);
    for (let i = 0; i < usual.length; i++)
      ids.push(
        tf.tidy(() => {
          const logits = model.logits(tf.tensor2d([ids], [1, ids.length], 'int32'));
          return tf.argMax(tf.slice(logits, [0, ids.length - 1, 0], [1, 1, -1]), 2).dataSync()[0];
        }),
      );
    expect(text).toBe(data.decode(ids.slice(usual.prompt.length)));
    expect(text).toHaveLength(8);
    model.dispose();
  });

  it('writes the same text from the same seed, another from another, and leaves no tensor behind', async () => {
    const before = memoryFacts().tensors;
    const { text, pieces } = await write();
    expect((await write()).text).toBe(text);
    expect((await write({ seed: 2 })).text).not.toBe(text);
    expect(memoryFacts().tensors).toBe(before);
    expect(pieces.filter(({ done }) => done)).toHaveLength(1);
    expect(pieces.at(-1)).toMatchObject({ done: true, tokens: 8 });
    expect(pieces.at(-1)!.tokensPerSecond).toBeGreaterThan(0);
    expect(pieces.at(-1)!.stateBytes).toBeGreaterThan(0);
    expect((await write({ prompt: '' })).pieces.at(-1)).toMatchObject({ tokens: 8 });
  });

  it('writes in the precision asked for, else in its own, and says in which', async () => {
    const last = async (more: Partial<Continuation>) =>
      (await write({ device: 'cpu', threads: 1, ...more })).pieces.at(-1)!;
    const [own, half] = [await last({}), await last({ precision: 'bfloat16' })];
    expect([own.precision, half.precision]).toEqual(['float32', 'bfloat16']);
    expect(half.tokens).toBe(own.tokens);
    expect(half.stateBytes).toBe(own.stateBytes! / 2); // caches are all that attention keeps
  });

  it('names the characters of a prompt that its vocabulary lacks', async () => {
    await expect(write({ prompt: 'дом Zoo' })).rejects.toThrow(/has no "Z", "o", so its vocabulary .* no id for them/);
  });

  it('has to be one on a text, with a checkpoint, and the text as it was', async () => {
    lay('bare', { id: 'text', options: { source: 'letters', tokens: 12 } });
    await expect(write({}, 'bare')).rejects.toThrow('bare has no checkpoint yet');
    lay('recall', { id: 'mqar' });
    await expect(write({}, 'recall')).rejects.toThrow('the run learns "mqar", which has no text to go on with');
    cpSync(folder('one'), folder('moved'), { recursive: true });
    const changed = join(lab, 'elsewhere');
    mkdirSync(join(changed, 'texts'), { recursive: true });
    writeFileSync(join(changed, 'texts', 'letters.txt'), 'abcdefgh'.repeat(40));
    await expect(write({ lab: changed, prompt: 'a' }, 'moved')).rejects.toThrow('the text has changed since');
  });
});
