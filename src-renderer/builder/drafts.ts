// The bench in the browser's storage, so that unsaved work outlives a reload, a crash and a lost connection.
import { type ModelSpec, modelSchema } from '../../src-main/spec/model';
import type { BenchObjective } from './bench';

export interface DraftDocument {
  key: string;
  savedId: string | null;
  /** The model as it was last saved, as JSON; null if it never was. */
  savedJson: string | null;
  model: ModelSpec;
}
export interface Draft {
  active: string;
  task: { id: string; options: Record<string, unknown> } | null;
  objective?: BenchObjective;
  documents: DraftDocument[];
  savedAtMs: number;
}

const PREFIX = 'archlab.bench.';
const OWN = 'archlab.bench';

/** Reads a draft, leaving out documents that are not models any more. */
export function parseDraft(text: string | null): Draft | null {
  if (!text) return null;
  try {
    const value = JSON.parse(text) as Draft;
    const documents = value.documents.flatMap((document) => {
      const model = modelSchema.safeParse(document.model);
      return model.success ? [{ ...document, model: document.model }] : [];
    });
    return documents.length ? { ...value, documents } : null;
  } catch {
    return null; // Not ours or cut short: the bench starts empty.
  }
}

const locked = (name: string, wait: boolean): Promise<boolean> =>
  new Promise((resolve) => {
    if (!navigator.locks) {
      resolve(true);
      return;
    }
    // Held for as long as the page lives, so that another window sees that this draft is in use.
    const hold = (lock: Lock | null) => {
      resolve(lock !== null);
      return lock ? new Promise<void>(() => {}) : undefined;
    };
    // After a reload the page before this one may still be letting go of its own lock.
    const options = wait ? { signal: AbortSignal.timeout(500) } : { ifAvailable: true };
    navigator.locks.request(name, options, hold).catch(() => resolve(false));
  });

export interface OpenedDraft {
  draft: Draft | null;
  /** This browser has never kept a draft at this address. */
  first: boolean;
  /** Writes the draft; false where the storage is full or forbidden. */
  save(draft: Omit<Draft, 'savedAtMs'>): boolean;
}

/**
 * The draft of this window: its own after a reload, else the newest that no other window has open, else a fresh one.
 */
export async function openDraft(): Promise<OpenedDraft> {
  let id = '';
  try {
    const own = sessionStorage.getItem(OWN);
    if (own && (await locked(PREFIX + own, true))) id = own;
    const others = Object.keys(localStorage)
      .filter((key) => key.startsWith(PREFIX) && key !== PREFIX + own)
      .map((key) => ({ id: key.slice(PREFIX.length), at: parseDraft(localStorage.getItem(key))?.savedAtMs ?? 0 }))
      .sort((a, b) => b.at - a.at);
    for (const other of id ? [] : others) {
      if (await locked(PREFIX + other.id, false)) {
        id = other.id;
        break;
      }
    }
    if (!id) {
      id = crypto.randomUUID();
      await locked(PREFIX + id, false);
    }
    sessionStorage.setItem(OWN, id);
    return {
      first: !own && others.length === 0,
      draft: parseDraft(localStorage.getItem(PREFIX + id)),
      save: (draft) => {
        try {
          localStorage.setItem(PREFIX + id, JSON.stringify({ ...draft, savedAtMs: Date.now() }));
          return true;
        } catch {
          return false;
        }
      },
    };
  } catch {
    return { draft: null, first: true, save: () => false };
  }
}
