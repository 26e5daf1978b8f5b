// What the user trained with last, kept by the browser.
import { useLocalStorage } from '@vueuse/core';
import { settingsAtFirst } from './plan';

export const useTrainSettings = () => useLocalStorage('archlab.train', { ...settingsAtFirst }, { mergeDefaults: true });
