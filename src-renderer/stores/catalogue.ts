// The cards of blocks and tasks, in the window's language, and the devices: asked once, asked again when the connection is back.
import { defineStore } from 'pinia';
import { computed, ref, shallowRef } from 'vue';
import type { DeviceInfo, ModelPreset } from '../../src-main/rpc/contract';
import type { BlockCard, TaskCard } from '../../src-main/spec/card';
import { onReturn, rpc } from '../rpc';
import { languageNow, localised, localisedPreset } from './words';

export const useCatalogue = defineStore('catalogue', () => {
  const given = shallowRef<{ blocks: BlockCard[]; tasks: TaskCard[]; presets: ModelPreset[] }>({
    blocks: [],
    tasks: [],
    presets: [],
  });
  const blocks = computed(() => given.value.blocks.map((card) => localised(card, languageNow())));
  const tasks = computed(() => given.value.tasks.map((card) => localised(card, languageNow())));
  const presets = computed(() => given.value.presets.map((preset) => localisedPreset(preset, languageNow())));
  const devices = shallowRef<DeviceInfo[]>([]);
  const error = shallowRef<unknown>(null);
  const loaded = ref(false);
  let asked: Promise<void> | undefined;

  async function read(): Promise<void> {
    try {
      const [blocks, tasks, presets] = await Promise.all([
        rpc.blocks.list({}),
        rpc.tasks.list({}),
        rpc.models.presets({}),
      ]);
      given.value = { blocks, tasks, presets };
      error.value = null;
      loaded.value = true;
      devices.value = await rpc.devices.list({});
    } catch (failure) {
      error.value = failure;
      asked = undefined;
    }
  }
  /** Reads the cards unless they are here or on their way. */
  const load = (): Promise<void> => {
    asked ??= read();
    return asked;
  };
  onReturn(() => {
    if (!loaded.value) void load();
  });

  const blockById = computed(() => new Map(blocks.value.map((card) => [card.id, card])));
  const taskById = computed(() => new Map(tasks.value.map((card) => [card.id, card])));
  return { blocks, tasks, presets, devices, error, loaded, load, blockById, taskById };
});
