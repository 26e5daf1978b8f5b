// What main says of models while they are edited: shapes, costs and problems, kept per model so that nothing is asked twice.
import { useDebounceFn } from '@vueuse/core';
import { defineStore } from 'pinia';
import { computed, ref, shallowRef, watch } from 'vue';
import type { Inspection, NodeFacts, TaskPreview } from '../../src-main/rpc/contract';
import type { Problem } from '../../src-main/spec/error';
import type { ModelSpec } from '../../src-main/spec/model';
import type { ObjectiveKind } from '../../src-main/spec/run';
import { onReturn, rpc } from '../rpc';
import { useCatalogue } from '../stores/catalogue';
import { useBench } from './bench';
import { locate, type Path } from './document';

const WAIT_MS = 50;
/** What is assumed until the task has told its own. */
const UNTOLD = { tokens: 128, vocabulary: 256 };

export const useInspections = defineStore('inspections', () => {
  const bench = useBench();
  const catalogue = useCatalogue();
  const preview = shallowRef<TaskPreview | null>(null);
  const previewError = shallowRef<unknown>(null);
  const inspection = shallowRef<Inspection | null>(null);
  const error = shallowRef<unknown>(null);
  /** True while the numbers shown are of an earlier state of the model. */
  const stale = ref(false);

  const context = computed(() => ({
    tokens: preview.value?.tokens ?? (preview.value?.rows[0]?.tokens.length || UNTOLD.tokens),
    vocabulary: preview.value?.vocabulary || UNTOLD.vocabulary,
  }));

  /** What models are asked about: tokens are hidden in texts only, so elsewhere a model that looks ahead has a problem. */
  const wanted = computed(() => {
    const { kind } = bench.objective;
    const task = catalogue.taskById.get(bench.task.id);
    return kind === 'auto' && task && task.kind !== 'text' ? 'next_token' : kind;
  });
  /** The objective of the model that is shown. */
  const objective = computed<ObjectiveKind>(() =>
    wanted.value === 'auto' ? (inspection.value?.objective ?? 'next_token') : wanted.value,
  );

  /** Ids of the model that is shown: the task's, and the mask token. */
  const vocabulary = computed(() => context.value.vocabulary + (objective.value === 'masked' ? 1 : 0));

  const known = new WeakMap<ModelSpec, { at: string; answer: Promise<Inspection> }>();
  /** Asks main of a model in the bench's context; the same model is asked once. */
  function inspect(model: ModelSpec): Promise<Inspection> {
    const at = `${context.value.tokens} ${context.value.vocabulary} ${wanted.value}`;
    const before = known.get(model);
    if (before?.at === at) return before.answer;
    const answer = rpc.models.inspect({ model, ...context.value, objective: wanted.value });
    known.set(model, { at, answer });
    answer.catch(() => known.delete(model));
    return answer;
  }

  let newest = 0;
  async function ask(): Promise<void> {
    const model = bench.model;
    const mine = ++newest;
    if (!model) {
      inspection.value = null;
      return;
    }
    try {
      const answer = await inspect(model);
      if (mine !== newest) return; // A later question is on its way; its answer wins.
      inspection.value = answer;
      error.value = null;
    } catch (failure) {
      if (mine !== newest) return;
      error.value = failure;
    }
    stale.value = false;
  }
  const askSoon = useDebounceFn(ask, WAIT_MS);
  watch(
    [() => bench.model, context, wanted],
    () => {
      stale.value = true;
      void askSoon();
    },
    { immediate: true },
  );
  onReturn(() => void ask());

  let newestPreview = 0;
  async function askPreview(): Promise<void> {
    const { id, options } = bench.task;
    if (!id) return;
    const mine = ++newestPreview;
    try {
      const answer = await rpc.tasks.preview({ id, options, rows: 1 });
      if (mine !== newestPreview) return;
      preview.value = answer;
      previewError.value = null;
    } catch (failure) {
      if (mine === newestPreview) previewError.value = failure;
    }
  }
  const previewSoon = useDebounceFn(askPreview, 150);
  watch(() => bench.task, previewSoon, { immediate: true });
  onReturn(() => void askPreview());

  /** Facts by path; those that did not change stay the objects that they were, so that only the others are drawn anew. */
  const facts = computed<Map<string, NodeFacts>>((before) => {
    const now = new Map<string, NodeFacts>();
    for (const node of inspection.value?.nodes ?? []) {
      const old = before?.get(node.path);
      now.set(node.path, old && JSON.stringify(old) === JSON.stringify(node) ? old : node);
    }
    return now;
  });
  const problems = computed(() => (inspection.value?.problems ?? []).map((p) => ({ ...p, ...locate(p.path) })));
  /** Problems of one node itself, or of the model's own settings for `[]`. */
  const problemsAt = (path: Path): (Problem & { field: string })[] =>
    problems.value.filter(({ node }) => node.length === path.length && node.every((x, i) => x === path[i]));
  /** True where a node or anything inside it has a problem. */
  const hasProblem = (path: Path): boolean =>
    problems.value.some(({ node }) => node.length >= path.length && path.every((x, i) => x === node[i]));

  return {
    preview,
    previewError,
    context,
    wanted,
    objective,
    vocabulary,
    inspection,
    error,
    stale,
    inspect,
    facts,
    problems,
    problemsAt,
    hasProblem,
    ask,
  };
});
