// @vitest-environment happy-dom
// Drafts come back to the window they are of, and nothing broken comes back at all.
import { beforeEach, describe, expect, it } from 'vitest';
import type { ModelSpec } from '../../src-main/spec/model';
import { openDraft, parseDraft } from './drafts';

const model: ModelSpec = {
  format: 'archlab.model/1',
  name: 'a',
  width: 64,
  positions: 'none',
  layers: [{ block: 'mamba2' }],
  finalNorm: 'rms',
  head: { tied: true },
};
const draft = { active: 'k', task: null, documents: [{ key: 'k', savedId: null, savedJson: null, model }] };

/** Locks as the browser has them, of which one page can hold each. */
function locks(held = new Set<string>()) {
  const request = async (name: string, { signal }: LockOptions, hold: (lock: Lock | null) => unknown) => {
    if (held.has(name)) {
      if (!signal) return hold(null);
      throw new DOMException('timed out', 'TimeoutError');
    }
    held.add(name);
    return hold({ name, mode: 'exclusive' });
  };
  Object.defineProperty(navigator, 'locks', { value: { request }, configurable: true });
  return held;
}

describe('drafts', () => {
  beforeEach(() => {
    localStorage.clear();
    sessionStorage.clear();
  });

  it('come back after a reload of the same window', async () => {
    locks();
    const before = await openDraft();
    expect(before).toMatchObject({ draft: null, first: true });
    expect(before.save(draft)).toBe(true);
    locks(); // The page before let go of its lock.
    expect((await openDraft()).draft).toMatchObject(draft);
  });

  it('come back to a new window once the old one is closed, and not while it is open', async () => {
    const held = locks();
    (await openDraft()).save(draft);
    sessionStorage.clear();
    expect(await openDraft()).toMatchObject({ draft: null, first: false });
    held.clear();
    sessionStorage.clear();
    expect((await openDraft()).draft).toMatchObject(draft);
  });

  it('leave out documents that are no models, and come as none when nothing is left', () => {
    const broken = { key: 'x', savedId: null, savedJson: null, model: { ...model, width: 'wide' } };
    expect(parseDraft(JSON.stringify({ ...draft, documents: [broken, ...draft.documents] }))?.documents).toHaveLength(
      1,
    );
    expect(parseDraft(JSON.stringify({ ...draft, documents: [broken] }))).toBeNull();
    expect(parseDraft('{"documents":')).toBeNull();
    expect(parseDraft('null')).toBeNull();
  });
});
