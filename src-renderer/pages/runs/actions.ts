// What the user may do to runs, with the words that follow: errors as sentences, deletion with an undo.
import { NButton, useMessage } from 'naive-ui';
import { h } from 'vue';
import { useI18n } from 'vue-i18n';
import { useRouter } from 'vue-router';
import { useBench } from '../../builder/bench';
import { type RunAction, useRuns } from '../../stores/runs';
import { download } from '../../ui/download';
import { useErrorSentences } from '../../ui/errors';
import { settingsOf } from '../build/plan';
import { useTrainSettings } from '../build/settings';

const UNDO_MS = 10_000;

export function useRunActions() {
  const runs = useRuns();
  const message = useMessage();
  const router = useRouter();
  const sentencesOf = useErrorSentences();
  const { t } = useI18n();
  const bench = useBench();
  const settings = useTrainSettings();

  const tell = (failure: unknown) => {
    message.error(sentencesOf(failure).join(' '), { duration: 8000, closable: true });
  };
  /** Runs something and says why if it failed. */
  async function attempt(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (failure) {
      tell(failure);
      return false;
    }
  }

  async function remove(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    const name = runs.byId.get(ids[0]!)?.name ?? '';
    if (!(await attempt(() => runs.remove(ids)))) return;
    const words = { n: ids.length, name };
    const shown = message.create(
      () =>
        h('span', { class: 'undo', 'data-testid': 'undo-toast' }, [
          t('runs.removed', words, ids.length),
          ' ',
          h(
            NButton,
            {
              size: 'tiny',
              type: 'primary',
              tertiary: true,
              'data-testid': 'undo',
              onClick: async () => {
                shown.destroy();
                if (await attempt(() => runs.restore(ids))) message.success(t('runs.restored', words, ids.length));
              },
            },
            () => t('shell.actions.undo'),
          ),
        ]),
      { duration: UNDO_MS, closable: true, keepAliveOnHover: true },
    );
  }

  async function act(action: RunAction, ids: readonly string[]): Promise<void> {
    if (action === 'remove') await remove(ids);
    else await attempt(() => runs.act(action, ids));
  }

  const compare = (ids: readonly string[]) => router.push({ name: 'compare', query: { runs: ids.join(',') } });

  /** Opens the run's model in a tab of its own, with its task and settings, to be changed and trained again. */
  async function toBench(id: string): Promise<void> {
    await attempt(async () => {
      const { spec } = await runs.detail(id);
      await bench.load();
      bench.openHere({ ...spec.model, name: spec.model.name || (runs.byId.get(id)?.name ?? id) });
      bench.task = { id: spec.task.id, options: spec.task.options };
      const { objective } = spec;
      const maskRatio = objective.kind === 'masked' ? objective.maskRatio : bench.objective.maskRatio;
      bench.objective = { kind: objective.kind, maskRatio };
      settings.value = { ...settingsOf(spec), seeds: settings.value.seeds };
      await router.push({ name: 'build' });
      message.success(t('runs.onBench'));
    });
  }

  async function csv(ids: readonly string[]): Promise<void> {
    await attempt(async () => {
      const name = ids.length === 1 ? (runs.byId.get(ids[0]!)?.name ?? ids[0]!) : `${ids.length}-runs`;
      download(`archlab-${name}.csv`, await runs.csv(ids), 'text/csv;charset=utf-8');
    });
  }

  async function example(): Promise<string[]> {
    let ids: string[] = [];
    await attempt(async () => {
      ids = (await runs.example()).map(({ id }) => id);
      message.success(t('runs.exampleQueued', { n: ids.length }));
    });
    return ids;
  }

  return { act, attempt, compare, csv, example, toBench };
}
