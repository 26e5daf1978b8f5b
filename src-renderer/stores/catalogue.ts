// The cards of blocks and tasks and the devices: asked once, asked again when the connection is back.
import { defineStore } from 'pinia';
import { computed, ref, shallowRef } from 'vue';
import type { DeviceInfo, ModelPreset } from '../../src-main/rpc/contract';
import type { BlockCard, TaskCard } from '../../src-main/spec/card';
import { onReturn, rpc } from '../rpc';

export const useCatalogue = defineStore('catalogue', () => {
  const blocks = shallowRef<BlockCard[]>([]);
  const tasks = shallowRef<TaskCard[]>([]);
  const presets = shallowRef<ModelPreset[]>([]);
  const devices = shallowRef<DeviceInfo[]>([]);
  const error = shallowRef<unknown>(null);
  const loaded = ref(false);
  let asked: Promise<void> | undefined;

  async function read(): Promise<void> {
    try {
      [blocks.value, tasks.value, presets.value] = await Promise.all([
        rpc.blocks.list({}),
        rpc.tasks.list({}),
        rpc.models.presets({}),
      ]);
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
