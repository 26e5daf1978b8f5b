// Which runs are compared: those that the address names, else those of the last visit, else the newest; and how each looks.
import { computed, shallowRef, watch } from 'vue';
import { useRoute, useRouter } from 'vue-router';
import { assignSlots } from '../../charts/colours';
import { useRuns } from '../../stores/runs';
import { isTexts, useView } from '../../stores/view';

export const MOST_AT_FIRST = 10;

export function useSelection() {
  const route = useRoute();
  const router = useRouter();
  const runs = useRuns();

  /** The newest runs, those that have something to show before those that wait. */
  const latest = computed(() =>
    [...runs.rows]
      .sort((a, b) => Number(b.step > 0) - Number(a.step > 0) || b.createdAt - a.createdAt)
      .slice(0, MOST_AT_FIRST)
      .map(({ id }) => id)
      .reverse(),
  );
  const before = useView().remembered<string[] | null>(
    'compare.runs',
    null,
    (value): value is string[] | null => value === null || isTexts(value),
  );
  const inAddress = () => (typeof route.query.runs === 'string' ? route.query.runs.split(',').filter(Boolean) : null);
  watch(
    () => route.name === 'compare' && inAddress(),
    (ids) => {
      if (ids) before.value = ids;
    },
    { immediate: true },
  );
  // Runs of the last visit that are gone by now leave the newest to be shown.
  const last = computed(() => (before.value?.some((id) => runs.byId.has(id)) ? before.value : null));
  const named = computed(() => inAddress() ?? last.value);
  // A name in the address whose run is gone is passed over; it stays in the address, so that an undo brings it back.
  const chosen = computed(() => (named.value ?? latest.value).filter((id) => runs.byId.has(id)));

  const choose = (ids: readonly string[]) => router.replace({ name: 'compare', query: { runs: ids.join(',') } });
  /** Shows the newest, and from now on whatever comes new. */
  function followLatest(): void {
    before.value = null;
    void router.replace({ name: 'compare', query: {} });
  }
  function toggle(id: string): void {
    void choose(chosen.value.includes(id) ? chosen.value.filter((other) => other !== id) : [...chosen.value, id]);
  }

  const slots = shallowRef<ReadonlyMap<string, number>>(new Map());
  watch(
    () => chosen.value.join(','),
    () => {
      slots.value = assignSlots(chosen.value, slots.value);
    },
    { immediate: true, flush: 'sync' },
  );
  return { chosen, choose, followLatest, toggle, slots };
}
