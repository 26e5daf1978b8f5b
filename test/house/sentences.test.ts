// Every sentence of main that a window may show has its Russian: one that is new is told by its file and line.
import { describe, expect, it } from 'vitest';
import { said } from '../../src-renderer/ui/said';
import { sentences } from './sentences';

/** Made of pieces that are put into Russian by themselves, or for ourselves alone. */
const PIECES: readonly RegExp[] = [
  /^(internal|bench):/,
  /^7 does not fit$/,
  /^is missing$/,
  /^7 do not divide the inner width 7$/,
];

describe('sentences of main', () => {
  const all = sentences();

  it('are found: problems, hints, errors and last words', () => {
    const texts = all.map(({ text }) => text);
    for (const one of [
      'the stack is empty',
      'the text has no gap to fill in',
      'did you mean 7?',
      'Stopped on request.',
      'All 7 steps are done.',
    ])
      expect(texts).toContain(one);
    expect(all.length).toBeGreaterThan(200);
  });

  it('are known in Russian, each', () => {
    const missing = all.filter(
      ({ text }) => !PIECES.some((piece) => piece.test(text)) && !/[а-яё]/i.test(said(text, 'ru')),
    );
    expect(
      missing.map(({ text, at }) => `${at}: ${JSON.stringify(text)} has no pattern in src-renderer/ui/said.ru.ts`),
    ).toEqual([]);
  });
});
