// Texts as they come: pieces are joined, a stop counts at once, and pieces of a text that is gone change nothing.
import { createPinia, setActivePinia } from 'pinia';
import { beforeEach, expect, it } from 'vitest';
import type { GenerationPiece, GenerationRequest, Message, Request } from '../../src-main/rpc/contract';
import { connect } from '../rpc';
import type { LinkState } from '../transport';
import { useGenerations } from './generations';

/** A main that starts texts under ids of its own, and lets the test say what comes. */
function fakeMain({ refuses = false } = {}) {
  let tell: (message: Message) => void = () => undefined;
  let link: (state: LinkState) => void = () => undefined;
  const sent: string[] = [];
  let count = 0;
  connect({
    open({ message, state }) {
      tell = message;
      link = state;
      state('open');
    },
    send({ id, method, input }: Request) {
      sent.push(method === 'cancel' ? `cancel ${(input as { id: string }).id}` : method);
      const value = method !== 'cancel' ? { id: `g${++count}` } : null;
      queueMicrotask(() =>
        tell(
          refuses ? { id, ok: false, error: { name: 'SpecError', message: 'no checkpoint' } } : { id, ok: true, value },
        ),
      );
    },
  });
  const piece = (id: string, text: string, more: Partial<GenerationPiece> = {}) =>
    tell({
      notice: {
        kind: 'generation',
        id,
        text,
        tokens: 1,
        tokensPerSecond: null,
        stateBytes: 8,
        precision: 'float32',
        done: false,
        ...more,
      },
    });
  return { sent, piece, lose: () => link('lost'), back: () => link('open') };
}
const request: GenerationRequest = { run: 'a', prompt: 'x', length: 5, temperature: 1, topK: 0, topP: 1, seed: 1 };
beforeEach(() => setActivePinia(createPinia()));

it('joins pieces until the last one', async () => {
  const { piece } = fakeMain();
  const generations = useGenerations();
  const started = generations.start(request);
  expect(generations.texts.get('a')).toMatchObject({ status: 'waiting', prompt: 'x' });
  await started;
  piece('g1', 'one ');
  expect(generations.texts.get('a')).toMatchObject({ status: 'writing', text: 'one ' });
  piece('other', 'nothing');
  piece('g1', 'two', { tokens: 2, tokensPerSecond: 50, done: true });
  expect(generations.texts.get('a')).toMatchObject({ status: 'done', text: 'one two', tokens: 2, tokensPerSecond: 50 });
});

it('takes a text whose gaps are filled in as it stands', async () => {
  const { sent, piece } = fakeMain();
  const generations = useGenerations();
  const { length: _, ...rest } = request;
  await generations.fill({ ...rest, prompt: 'a_b', passes: 2 });
  piece('g1', '', { parts: [{ kind: 'given', text: 'a' }] });
  const parts = [{ kind: 'filled' as const, text: 'acb' }];
  piece('g1', '', { parts, done: true });
  expect(generations.texts.get('a')).toMatchObject({ status: 'done', prompt: 'a_b', text: '', parts });
  // A run that goes on afterwards shows no parts of the text before.
  await generations.start(request);
  expect(generations.texts.get('a')!.parts).toBeUndefined();
  expect(sent).toEqual(['fill', 'start']);
});

it('stops at once, and begins anew under another id', async () => {
  const { sent, piece } = fakeMain();
  const generations = useGenerations();
  await generations.start(request);
  piece('g1', 'one');
  const stopped = generations.stop('a');
  expect(generations.texts.get('a')).toMatchObject({ status: 'stopped', text: 'one' });
  piece('g1', 'late');
  await stopped;
  await generations.start(request);
  piece('g1', 'late');
  piece('g2', 'new');
  expect(generations.texts.get('a')!.text).toBe('new');
  expect(sent).toEqual(['start', 'cancel g1', 'start']);
});

it('cancels a text that was stopped before its id was known', async () => {
  const { sent } = fakeMain();
  const generations = useGenerations();
  const started = generations.start(request);
  await generations.stop('a');
  await started;
  expect(sent).toEqual(['start', 'cancel g1']);
});

it('keeps what came when the connection breaks, and says what went wrong', async () => {
  const { piece, lose, back } = fakeMain();
  const generations = useGenerations();
  await generations.start(request);
  piece('g1', 'one');
  lose();
  back();
  await expect.poll(() => generations.texts.get('a')).toMatchObject({ status: 'stopped', text: 'one' });
  await generations.start(request);
  piece('g2', '', { done: true, error: 'The device is gone.' });
  expect(generations.texts.get('a')).toMatchObject({ status: 'failed', error: new Error('The device is gone.') });
});

it('shows a refusal', async () => {
  fakeMain({ refuses: true });
  const generations = useGenerations();
  await generations.start(request);
  expect(generations.texts.get('a')).toMatchObject({ status: 'failed' });
  expect(String(generations.texts.get('a')!.error)).toContain('no checkpoint');
});
