// How blocks agree with their published code: the kept results, and the comparison that this window has asked for.
import { defineStore } from 'pinia';
import { computed, ref, shallowRef } from 'vue';
import type { Agreement, AgreementProgress } from '../../src-main/rpc/contract';
import type { DeviceId } from '../../src-main/spec/run';
import { onNotice, onReturn, rpc } from '../rpc';
import { useCatalogue } from './catalogue';

export interface Comparison {
  id: string | null;
  blocks: readonly string[];
  device: DeviceId;
  progress: AgreementProgress | null;
}
/** How a result reads today; `stale`: the device has other kernels now. */
export type Standing = 'agrees' | 'strays' | 'stale';

export const useAgreements = defineStore('agreements', () => {
  const catalogue = useCatalogue();
  const tested = shallowRef<readonly Agreement[]>([]);
  const cases = shallowRef<Readonly<Record<string, number>>>({});
  const going = shallowRef<Comparison | null>(null);
  const error = shallowRef<unknown>(null);
  /** The blocks that the error is about. */
  const failed = shallowRef<readonly string[]>([]);
  /** The device that blocks are compared on next. */
  const device = ref<DeviceId>('cpu');
  let asked: Promise<void> | undefined;

  async function read(): Promise<void> {
    try {
      const answer = await rpc.agreements.list({});
      tested.value = answer.tested;
      cases.value = answer.cases;
    } catch {
      asked = undefined; // Badges wait for the next look; what a person does here is told by its own error.
    }
  }
  /** Reads the results unless they are here or on their way. */
  const load = (): Promise<void> => {
    asked ??= read();
    return asked;
  };
  onNotice((notice) => {
    if (notice.kind === 'agreements') void read();
    if (notice.kind !== 'agreement' || !going.value || (going.value.id ?? notice.id) !== notice.id) return;
    if (!notice.done) {
      going.value = { ...going.value, id: notice.id, progress: notice.progress };
      return;
    }
    if (notice.error !== undefined) fail(going.value.blocks, new Error(notice.error));
    going.value = null;
  });
  // Main ends what a window that it lost was being told.
  onReturn(() => {
    going.value = null;
    void read();
  });
  function fail(blocks: readonly string[], failure: unknown): void {
    error.value = failure;
    failed.value = blocks;
  }

  async function start(blocks: readonly string[]): Promise<void> {
    error.value = null;
    failed.value = [];
    going.value = { id: null, blocks, device: device.value, progress: null };
    try {
      const { id } = await rpc.agreements.start({ blocks: [...blocks], device: device.value });
      if (going.value) going.value = { ...going.value, id };
    } catch (failure) {
      going.value = null;
      fail(blocks, failure);
    }
  }
  async function cancel(): Promise<void> {
    const id = going.value?.id;
    if (id) await rpc.agreements.cancel({ id }).catch((failure: unknown) => fail(going.value?.blocks ?? [], failure));
  }

  const versions = computed(() => new Map(catalogue.devices.map(({ id, kernelVersion }) => [id, kernelVersion])));
  function standingOf({ ok, device, kernelVersion }: Agreement): Standing {
    const now = versions.value.get(device);
    if (now && now !== kernelVersion) return 'stale';
    return ok ? 'agrees' : 'strays';
  }
  /** Results of one block, the newest first. */
  const ofBlock = (block: string): Agreement[] =>
    tested.value.filter((one) => one.block === block).sort((a, b) => b.at - a.at);
  /** The block in one word: what strays on any device comes first, then what agrees. */
  function standing(block: string): Standing | null {
    const all = ofBlock(block).map(standingOf);
    return (['strays', 'agrees', 'stale'] as const).find((one) => all.includes(one)) ?? null;
  }

  return { tested, cases, going, error, failed, device, load, start, cancel, standingOf, ofBlock, standing };
});
