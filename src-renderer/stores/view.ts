// How the user arranged the pages: columns, axes, smoothing. Kept by main as one setting, so that it outlives the window.
import { defineStore } from 'pinia';
import { customRef, type Ref, shallowReactive } from 'vue';
import { rpc } from '../rpc';

const SETTING = 'view';
const SAVE_MS = 500;

export const useView = defineStore('view', () => {
  const values = shallowReactive(new Map<string, unknown>());
  let asked: Promise<void> | undefined;
  let waiting = false;

  async function read(): Promise<void> {
    try {
      const kept = (await rpc.settings.get({}))[SETTING];
      if (kept !== null && typeof kept === 'object')
        // What the user changed while the answer was on its way counts more.
        for (const [key, value] of Object.entries(kept)) if (!values.has(key)) values.set(key, value);
    } catch {
      asked = undefined; // Out of reach: the defaults serve, and the next page asks again.
    }
  }
  const load = (): Promise<void> => {
    asked ??= read();
    return asked;
  };
  function save(): void {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      void rpc.settings.set({ key: SETTING, value: Object.fromEntries(values) }).catch(() => undefined);
    }, SAVE_MS);
  }

  /** A value that is remembered under `key`; `fits` refuses what an older window may have kept. */
  function remembered<T>(key: string, initial: T, fits: (value: unknown) => value is T): Ref<T> {
    void load();
    return customRef(() => ({
      get: () => {
        const value = values.get(key);
        return fits(value) ? value : initial;
      },
      set: (value: T) => {
        values.set(key, value);
        save();
      },
    }));
  }
  return { remembered };
});

/** For choices out of a list. */
export const oneOf =
  <T extends string>(choices: readonly T[]) =>
  (value: unknown): value is T =>
    choices.includes(value as T);
export const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';
export const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');
export const isShare = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= 0.99;
