// The models on the bench: open documents with their history and selection, the task they are measured for, and drafts.
import { useEventListener, watchDebounced } from '@vueuse/core';
import { defineStore } from 'pinia';
import { computed, ref, shallowRef } from 'vue';
import type { ModelPreset } from '../../src-main/spec/inspection';
import { isBlock, MODEL_FORMAT, type ModelSpec, type Node } from '../../src-main/spec/model';
import type { ObjectiveKind } from '../../src-main/spec/run';
import { rpc } from '../rpc';
import { useCatalogue } from '../stores/catalogue';
import { cloneNodes, type Edit, lastIndex, listAt, nodeAt, type Path, parentList, type Range } from './document';
import { type Draft, openDraft, parseDraft } from './drafts';
import * as history from './history';
import { keyOf } from './keys';

/** What undo brings back: the model and what was selected in it; null selects the model itself. */
export interface Snapshot {
  model: ModelSpec;
  selection: Range | null;
}
export interface BenchDocument {
  key: string;
  savedId: string | null;
  savedJson: string | null;
  history: history.History<Snapshot>;
}

/** What the models on the bench are to learn; `auto`: to fill in masked tokens where one looks ahead, else to predict the next. */
export interface BenchObjective {
  kind: ObjectiveKind | 'auto';
  maskRatio: number;
}
const OBJECTIVE: BenchObjective = { kind: 'auto', maskRatio: 0.15 };

const emptyModel = (name: string): ModelSpec => ({
  format: MODEL_FORMAT,
  name,
  width: 128,
  positions: 'none',
  layers: [],
  finalNorm: 'rms',
  head: { tied: true },
});

/** Key of the setting that holds the copy of the bench. */
const DRAFT = 'bench';

export const modelOf = (document: BenchDocument): ModelSpec => document.history.present.model;
/** Differs from what was last saved; a document that was never saved counts once it has layers. */
export const isDirty = (document: BenchDocument): boolean =>
  document.savedJson === null
    ? modelOf(document).layers.length > 0
    : document.savedJson !== JSON.stringify(modelOf(document));

export const useBench = defineStore('bench', () => {
  const documents = shallowRef<BenchDocument[]>([]);
  const activeKey = ref('');
  const task = shallowRef<{ id: string; options: Record<string, unknown> }>({ id: '', options: {} });
  const objective = shallowRef<BenchObjective>(OBJECTIVE);
  const ready = ref(false);
  /** False while the browser refuses to keep drafts. */
  const keepsDrafts = ref(true);
  const closed = shallowRef<ReadonlySet<number>>(new Set());
  /** What a screen reader is told after an edit. */
  const announcement = ref('');
  const shut = shallowRef<{ document: BenchDocument; at: number } | null>(null);

  const active = computed(() => documents.value.find(({ key }) => key === activeKey.value) ?? null);
  const model = computed(() => (active.value ? modelOf(active.value) : null));
  const selection = computed(() => active.value?.history.present.selection ?? null);
  const selectedNode = computed(() => {
    if (!model.value || !selection.value) return null;
    return nodeAt(model.value.layers, [...selection.value.list, selection.value.start]) ?? null;
  });

  function put(key: string, change: (document: BenchDocument) => BenchDocument): void {
    documents.value = documents.value.map((document) => (document.key === key ? change(document) : document));
  }
  const putHistory = (change: (old: BenchDocument['history']) => BenchDocument['history']) => {
    if (active.value) put(active.value.key, (document) => ({ ...document, history: change(document.history) }));
  };

  /** Opens a document as the last tab and shows it. */
  function open(spec: ModelSpec, saved: { id: string; json: string } | null = null): void {
    const key = crypto.randomUUID();
    const present: Snapshot = { model: spec, selection: null };
    documents.value = [
      ...documents.value,
      { key, savedId: saved?.id ?? null, savedJson: saved?.json ?? null, history: history.begin(present) },
    ];
    activeKey.value = key;
  }
  /** Opens in the place of the active document if that is still untouched, else as a new tab. */
  function openHere(spec: ModelSpec, saved: { id: string; json: string } | null = null): void {
    const current = active.value;
    const untouched = current && !current.savedId && modelOf(current).layers.length === 0;
    if (untouched) documents.value = documents.value.filter((document) => document !== current);
    open(spec, saved);
  }
  /** Opens a preset under its title; it trains as it comes, so nothing that was chosen for another model stays in its way. */
  function openPreset({ model: spec, title, objective: fits }: ModelPreset): void {
    const { kind } = objective.value;
    if (kind !== 'auto' && kind !== (fits ?? 'next_token')) objective.value = { ...objective.value, kind: 'auto' };
    openHere({ ...spec, name: title, layers: cloneNodes(spec.layers) });
  }
  function close(key: string): void {
    const at = documents.value.findIndex((document) => document.key === key);
    if (at < 0) return;
    shut.value = { document: documents.value[at], at };
    documents.value = documents.value.filter((document) => document.key !== key);
    if (activeKey.value === key) activeKey.value = (documents.value[at] ?? documents.value[at - 1])?.key ?? '';
  }
  /** Brings the tab that was closed last back. */
  function reopen(): void {
    if (!shut.value) return;
    const { document, at } = shut.value;
    documents.value = [...documents.value.slice(0, at), document, ...documents.value.slice(at)];
    activeKey.value = document.key;
    shut.value = null;
  }
  function duplicateTab(name: string): void {
    if (model.value) open({ ...model.value, name, layers: cloneNodes(model.value.layers) });
  }

  /** Takes an edit into the history. Edits with the same tag within a moment are one step. */
  function edit({ model: next, select }: Edit, tag: string | null = null): void {
    putHistory((old) =>
      next === old.present.model
        ? history.amend(old, { model: next, selection: select })
        : history.record(old, { model: next, selection: select }, { tag, atMs: Date.now() }),
    );
  }
  /** Changes settings of the model whole; the selection stays. */
  const setModel = (change: Partial<ModelSpec>, tag: string | null = null): void => {
    if (model.value) edit({ model: { ...model.value, ...change }, select: selection.value }, tag);
  };
  /** Puts another model in the place of an open document's, which its undo takes back. */
  function replaceModel(key: string, next: ModelSpec): void {
    put(key, (document) => ({
      ...document,
      history: history.record(document.history, { model: next, selection: null }, { atMs: Date.now() }),
    }));
  }
  const undo = (): void => putHistory(history.undo);
  const redo = (): void => putHistory(history.redo);
  const canUndo = computed(() => (active.value?.history.past.length ?? 0) > 0);
  const canRedo = computed(() => (active.value?.history.future.length ?? 0) > 0);

  function select(range: Range | null): void {
    putHistory((old) => history.amend(old, { ...old.present, selection: range }));
  }
  /** Grows the selection to a neighbour in the same list; elsewhere the other node alone is selected. */
  function selectTo(path: Path): void {
    const range = selection.value;
    const list = parentList(path);
    if (!range || range.list.join('.') !== list.join('.')) {
      select({ list, start: lastIndex(path), count: 1 });
      return;
    }
    const start = Math.min(range.start, lastIndex(path));
    select({ list, start, count: Math.max(range.start + range.count, lastIndex(path) + 1) - start });
  }
  const isSelected = (path: Path): boolean => {
    const range = selection.value;
    if (!range || range.list.length !== path.length - 1) return false;
    const at = lastIndex(path);
    return range.list.every((x, i) => x === path[i]) && at >= range.start && at < range.start + range.count;
  };
  const isClosed = (node: Node): boolean => !isBlock(node) && closed.value.has(keyOf(node));
  function fold(node: Node, shutIt: boolean): void {
    const next = new Set(closed.value);
    if (shutIt) next.add(keyOf(node));
    else next.delete(keyOf(node));
    closed.value = next;
  }
  /** How many nodes stand in the list around a path. */
  const siblingsAt = (path: Path): number => (model.value ? listAt(model.value.layers, parentList(path)).length : 0);

  /** Saves the active document in the lab. @throws RpcError */
  async function save(name: string): Promise<void> {
    const document = active.value;
    if (!document) return;
    const spec = { ...modelOf(document), name };
    const json = JSON.stringify(spec);
    const saved = await rpc.models.save({ id: document.savedId ?? undefined, name, model: spec });
    put(document.key, (now) => {
      const present = { ...now.history.present, model: { ...now.history.present.model, name } };
      return { ...now, savedId: saved.id, savedJson: json, history: history.amend(now.history, present) };
    });
  }

  const draftNow = () => ({
    active: activeKey.value,
    task: task.value.id ? task.value : null,
    objective: objective.value,
    documents: documents.value.map(({ key, savedId, savedJson, history: { present } }) => ({
      key,
      savedId,
      savedJson,
      model: present.model,
    })),
  });
  let write: Awaited<ReturnType<typeof openDraft>>['save'] = () => false;
  function keep(): void {
    if (!ready.value) return;
    keepsDrafts.value = write(draftNow());
  }
  /** The served lab may come back at another port, where the browser's storage is another one: main keeps a copy. */
  function keepInMain(): void {
    // Out of reach, or too big for a setting: the browser's own copy serves.
    if (ready.value) rpc.settings.set({ key: DRAFT, value: { ...draftNow(), savedAtMs: Date.now() } }).catch(() => {});
  }
  async function copyInMain(): Promise<Draft | null> {
    try {
      return parseDraft(JSON.stringify((await rpc.settings.get({}))[DRAFT] ?? null));
    } catch {
      return null;
    }
  }
  /** Takes up the draft of this window; called once, before the page is shown. */
  async function load(): Promise<void> {
    if (ready.value) return;
    const opened = await openDraft();
    write = opened.save;
    const draft = opened.draft ?? (opened.first ? await copyInMain() : null);
    if (draft) {
      documents.value = draft.documents.map(({ key, savedId, savedJson, model: spec }) => ({
        key,
        savedId,
        savedJson,
        history: history.begin<Snapshot>({ model: spec, selection: null }),
      }));
      activeKey.value = documents.value.some(({ key }) => key === draft.active)
        ? draft.active
        : (documents.value[0]?.key ?? '');
      if (draft.task) task.value = draft.task;
      if (draft.objective) objective.value = { ...OBJECTIVE, ...draft.objective };
    }
    ready.value = true;
    const catalogue = useCatalogue();
    await catalogue.load();
    // A task that is gone gives way to the text task, the first thing that one trains on.
    if (!catalogue.taskById.has(task.value.id)) {
      const first = catalogue.tasks.find(({ kind }) => kind === 'text') ?? catalogue.tasks[0];
      if (first) task.value = { id: first.id, options: {} };
    }
  }
  watchDebounced([documents, activeKey, task, objective], keep, { debounce: 250 });
  watchDebounced([documents, activeKey, task, objective], keepInMain, { debounce: 1500 });
  useEventListener(window, 'pagehide', keep);

  return {
    documents,
    activeKey,
    active,
    model,
    selection,
    selectedNode,
    task,
    objective,
    ready,
    keepsDrafts,
    announcement,
    fresh: emptyModel,
    open,
    openHere,
    openPreset,
    close,
    reopen,
    duplicateTab,
    edit,
    setModel,
    replaceModel,
    undo,
    redo,
    canUndo,
    canRedo,
    select,
    selectTo,
    isSelected,
    isClosed,
    fold,
    siblingsAt,
    save,
    load,
  };
});
