// A run that learned masked tokens fills in gaps: what was given stays, passes and seed count, and what can't be filled is said.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memoryFacts } from '../ops';
import { Control } from '../train/control';
import { work } from '../train/session';
import type { Piece } from './continue';
import { type Filling, fillRun } from './fill';

let lab: string;
const folder = (id: string) => join(lab, 'runs', id);
beforeAll(async () => {
  lab = mkdtempSync(join(tmpdir(), 'archlab-fill-'));
  mkdirSync(join(lab, 'texts'));
  writeFileSync(join(lab, 'texts', 'letters.txt'), 'дом и сад, сад и дом. '.repeat(40));
  for (const [id, kind] of [
    ['gaps', 'masked'],
    ['next', 'next_token'],
  ]) {
    mkdirSync(folder(id), { recursive: true });
    const spec = {
      format: 'archlab.run/1',
      model: {
        format: 'archlab.model/1',
        width: 16,
        layers: [{ block: 'softmax_attention', options: { causal: kind === 'next_token' } }, { block: 'gated_mlp' }],
      },
      task: { id: 'text', options: { source: 'letters', vocabulary: 'characters', tokens: 12 } },
      objective: { kind },
      schedule: { kind: 'constant', warmup: 0 },
      budget: { steps: 60 },
      batch: { size: 8 },
      optimiser: { kind: 'adamw', lr: 0.01 },
      evaluation: { every: 0, batches: 1 },
      samples: { every: 0, length: 1 },
      device: 'reference',
    };
    writeFileSync(join(folder(id), 'spec.json'), JSON.stringify(spec));
    await work({ folder: folder(id), lab, threads: 1, version: '0', control: new Control() });
  }
});
afterAll(() => rmSync(lab, { recursive: true, force: true }));

const usual = { prompt: 'д_м и с__', passes: 1, temperature: 0.8, topK: 0, topP: 1, seed: 1 };
async function fill(more: Partial<Filling> = {}, id = 'gaps') {
  const pieces: Piece[] = [];
  await fillRun({ ...usual, folder: folder(id), lab, ...more }, (piece) => pieces.push(piece));
  const parts = pieces.at(-1)!.parts!;
  return { pieces, parts, text: parts.map(({ text }) => text).join('') };
}

describe('a text with gaps', () => {
  it('keeps what was given and has each gap filled by one token', async () => {
    const before = memoryFacts().tensors;
    const { parts, pieces } = await fill();
    expect(parts.map(({ kind }) => kind)).toEqual(['given', 'filled', 'given', 'filled']);
    expect(parts.map(({ text }) => text.length)).toEqual([1, 1, 5, 2]);
    expect([parts[0].text, parts[2].text]).toEqual(['д', 'м и с']);
    expect(pieces).toHaveLength(1);
    expect(pieces[0]).toMatchObject({ text: '', tokens: 3, stateBytes: null, done: true });
    expect(memoryFacts().tensors).toBe(before);
  });

  it('is the same from the same seed, another from another', async () => {
    const prompt = '_'.repeat(12);
    const texts = await Promise.all([1, 1, 2].map((seed) => fill({ prompt, seed, temperature: 3 })));
    expect(texts[1].text).toBe(texts[0].text);
    expect(texts[2].text).not.toBe(texts[0].text);
  });

  it('comes as it stands while several passes go over it, and its last piece has no gap', async () => {
    const { pieces, parts } = await fill({ prompt: `дом ${'_'.repeat(60)}`, passes: 60 });
    expect(pieces.length).toBeGreaterThan(2);
    for (const { tokens, parts, done } of pieces) {
      const open = parts!.filter(({ kind }) => kind === 'open').map(({ text }) => text);
      expect(open.join('')).toBe('_'.repeat(60 - tokens));
      expect(done).toBe(tokens === 60);
    }
    expect(parts.map(({ kind }) => kind)).toEqual(['given', 'filled']);
  });

  it('has to have a gap, and no character that the vocabulary lacks', async () => {
    await expect(fill({ prompt: 'дом' })).rejects.toThrow('the text has no gap to fill in; write _ for each token');
    await expect(fill({ prompt: 'дZм_' })).rejects.toThrow('has no "Z"');
    await expect(fill({ prompt: 'д\\_м_' })).rejects.toThrow('has no "_"');
  });

  it('wants a run that learned masked tokens', async () => {
    await expect(fill({}, 'next')).rejects.toThrow('learns to predict the next token, so it can not fill in gaps');
  });
});
