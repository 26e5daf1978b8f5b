// The open models as the Train dialog offers them: what each costs here, whether it can be trained, and which are chosen.
import { computed, type Ref, ref, shallowRef, watch } from 'vue';
import { useI18n } from 'vue-i18n';
import type { Inspection } from '../../../src-main/rpc/contract';
import type { Problem } from '../../../src-main/spec/error';
import type { ModelSpec } from '../../../src-main/spec/model';
import type { ObjectiveKind } from '../../../src-main/spec/run';
import { modelOf, useBench } from '../../builder/bench';
import { useInspections } from '../../builder/inspections';
import { rpc } from '../../rpc';
import { distinctNames, type Estimate, estimate, type TrainSettings } from './plan';

export interface Candidate {
  /** Of its document on the bench. */
  key: string;
  model: ModelSpec;
  /** As its runs are called: no two are alike. */
  name: string;
  /** Absent until main has answered. */
  parameters?: number;
  objective: ObjectiveKind;
  /** Fills in from what stands before alone. */
  causalMasked: boolean;
  problem?: Problem;
  broken: boolean;
  chosen: boolean;
  /** Absent until main has answered. */
  cost?: Estimate;
}

/** The candidates, priced under the settings while `shown` holds; what goes wrong is handed to `onError`, null when it is asked anew. */
export function useCandidates(
  settings: Readonly<Ref<TrainSettings>>,
  shown: () => boolean,
  onError: (failure: unknown) => void,
) {
  const { t } = useI18n();
  const bench = useBench();
  const inspections = useInspections();
  const left = ref(new Set<string>());
  const answers = shallowRef(new Map<string, Inspection>());
  const gflops = shallowRef(new Map<string, number>());
  const measuring = ref(false);

  const documents = computed(() => bench.documents.filter((document) => modelOf(document).layers.length > 0));
  /** Two tabs may bear one name; runs and curves must be told apart. */
  const names = computed(() => distinctNames(documents.value.map((one) => modelOf(one).name || t('build.untitled'))));
  const rows = computed(() =>
    documents.value.map((document, i): Candidate => {
      const answer = answers.value.get(document.key);
      const broken = (answer?.problems.length ?? 0) > 0;
      return {
        key: document.key,
        model: modelOf(document),
        name: names.value[i]!,
        parameters: answer?.total.parameters,
        objective: answer?.objective ?? 'next_token',
        causalMasked: answer?.objective === 'masked' && answer.ahead.length === 0,
        problem: answer?.problems[0],
        broken,
        chosen: !left.value.has(document.key) && !broken,
        cost:
          answer &&
          estimate(answer, inspections.context.tokens, settings.value, gflops.value.get(settings.value.device) ?? null),
      };
    }),
  );
  const chosen = computed(() => rows.value.filter((row) => row.chosen));

  watch(
    [shown, documents, () => inspections.context, () => inspections.wanted],
    async () => {
      if (!shown()) return;
      onError(null);
      const asked = documents.value;
      try {
        const all = await Promise.all(asked.map((document) => inspections.inspect(modelOf(document))));
        if (asked === documents.value) answers.value = new Map(asked.map(({ key }, i) => [key, all[i]]));
      } catch (failure) {
        onError(failure);
      }
    },
    { immediate: true },
  );

  function choose(key: string, on: boolean): void {
    const next = new Set(left.value);
    if (on) next.delete(key);
    else next.add(key);
    left.value = next;
  }

  /** Measures the device that is chosen, so that times can be told. */
  async function measure(): Promise<void> {
    measuring.value = true;
    try {
      const { id, gflops: rate } = await rpc.devices.test({ id: settings.value.device });
      if (rate !== null) gflops.value = new Map(gflops.value).set(id, rate);
    } catch (failure) {
      onError(failure);
    } finally {
      measuring.value = false;
    }
  }

  return { rows, chosen, choose, measure, measuring };
}
