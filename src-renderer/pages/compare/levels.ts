// Levels of the task that all chosen runs share, such as the loss of guessing: drawn across the charts they belong to.
import { shallowReactive, shallowRef, watch } from 'vue';
import { useI18n } from 'vue-i18n';
import type { RunSpec } from '../../../src-main/spec/run';
import type { Level } from '../../charts/line/option';
import { rpc } from '../../rpc';
import { useCatalogue } from '../../stores/catalogue';
import { levelName } from '../../stores/words';
import { stable } from './groups';

/** Whether a level, named in words, is one of a chart's quantity: `loss of a uniform guess` belongs to loss. */
const belongs = (label: string, chart: string): boolean => label.toLowerCase().startsWith(chart);

/** Gives the levels of a chart; none where runs have different tasks, for a line would be true of some only. */
export function useLevels(specs: () => readonly RunSpec[]) {
  const { locale } = useI18n();
  const catalogue = useCatalogue();
  const known = shallowReactive(new Map<string, Record<string, number>>());
  const current = shallowRef<string | null>(null);
  watch(
    () => [...new Set(specs().map(({ task }) => stable(task)))].join('\n'),
    async (keys) => {
      current.value = keys && !keys.includes('\n') ? keys : null;
      const task = specs()[0]?.task;
      if (!current.value || known.has(keys) || !task) return;
      known.set(keys, {});
      try {
        known.set(keys, (await rpc.tasks.preview({ id: task.id, options: task.options, rows: 0 })).levels);
      } catch {
        known.delete(keys); // A text that is gone has no levels; the curves are still worth showing.
      }
    },
    { immediate: true },
  );
  const worded = (label: string) => levelName(catalogue.taskById.get(specs()[0]?.task.id ?? ''), label, locale.value);
  return (chart: string): Level[] =>
    Object.entries((current.value && known.get(current.value)) || {})
      .filter(([label]) => belongs(label, chart))
      .map(([label, value]) => ({ label: worded(label), value }));
}
