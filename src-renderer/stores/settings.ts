// What the user chose for the window: theme and language. Kept by main, with a copy here for the first picture and for a lost link.
import { usePreferredDark } from '@vueuse/core';
import { defineStore } from 'pinia';
import { computed, ref, watchEffect } from 'vue';
import { rpc } from '../rpc';

export const LANGUAGES = ['en', 'ru'] as const;
export type Language = (typeof LANGUAGES)[number];
export const THEMES = ['auto', 'dark', 'light'] as const;
export type Theme = (typeof THEMES)[number];

/** The language to begin with: the browser's, where we speak it. */
const preferredLanguage = (tags: readonly string[]): Language =>
  tags.some((tag) => tag.toLowerCase().startsWith('ru')) ? 'ru' : 'en';

const COPY = 'archlab.settings';

function readCopy(): Record<string, unknown> {
  try {
    return JSON.parse(localStorage.getItem(COPY) ?? '{}') as Record<string, unknown>;
  } catch {
    return {}; // Storage may be forbidden or hold what is not ours: then the defaults serve.
  }
}
function writeCopy(value: Record<string, unknown>): void {
  try {
    localStorage.setItem(COPY, JSON.stringify(value));
  } catch {
    // Main keeps the setting too; without storage only the first picture of the next start differs.
  }
}

export const useSettings = defineStore('settings', () => {
  const theme = ref<Theme>('auto');
  const language = ref<Language>(preferredLanguage(navigator.languages ?? []));
  const systemDark = usePreferredDark();
  const dark = computed(() => (theme.value === 'auto' ? systemDark.value : theme.value === 'dark'));

  function take(values: Record<string, unknown>): void {
    if (THEMES.includes(values.theme as Theme)) theme.value = values.theme as Theme;
    if (LANGUAGES.includes(values.language as Language)) language.value = values.language as Language;
  }
  take(readCopy());

  watchEffect(() => {
    document.documentElement.dataset.theme = dark.value ? 'dark' : 'light';
  });

  function choose(values: { theme?: Theme; language?: Language }): void {
    take(values);
    writeCopy({ theme: theme.value, language: language.value });
    // The copy holds the choice if main can't be reached now.
    for (const [key, value] of Object.entries(values)) void rpc.settings.set({ key, value }).catch(() => undefined);
  }

  /** Takes over what main has; called once at the start. */
  async function load(): Promise<void> {
    try {
      take(await rpc.settings.get({}));
      writeCopy({ theme: theme.value, language: language.value });
    } catch {
      // Out of reach: the copy serves until the next start.
    }
  }
  return { theme, language, dark, choose, load };
});
