// The runs that main knows, live; what the user does to them shows at once and is taken back if main refuses.
import { defineStore } from 'pinia';
import { computed, shallowReactive, shallowRef } from 'vue';
import type { RunDetail, RunRow } from '../../src-main/rpc/contract';
import { isOver, type RunStatus } from '../../src-main/spec/event';
import { onNotice, onReturn, rpc } from '../rpc';

export type RunAction = 'pause' | 'resume' | 'step' | 'stop' | 'remove';

/** Whether an action fits how a run stands. */
export function allows(action: RunAction, run: Pick<RunRow, 'status' | 'resumable'>): boolean {
  switch (action) {
    case 'pause':
      return run.status === 'running' || run.status === 'starting';
    case 'resume':
      return run.status === 'paused' || (run.resumable && isOver(run.status));
    case 'step':
      return run.status === 'paused';
    case 'stop':
      return !isOver(run.status);
    case 'remove':
      return true;
  }
}

/** What a run will look like once main has done it: shown until main says how it stands. */
const expected: Record<Exclude<RunAction, 'remove' | 'step'>, RunStatus> = {
  pause: 'paused',
  resume: 'running',
  stop: 'stopped',
};

const REFRESH_MS = 200;
/** Longer than main needs to carry out and report an action; then the row says again what main says. */
const HOPE_MS = 5000;

export const useRuns = defineStore('runs', () => {
  const fromMain = shallowRef<RunRow[]>([]);
  const loaded = shallowRef(false);
  const error = shallowRef<unknown>(null);
  const details = shallowReactive(new Map<string, RunDetail>());
  const hopes = shallowReactive(new Map<string, { status: RunStatus; until: number }>());
  const hidden = shallowReactive(new Set<string>());
  let waiting = false;
  let reading: Promise<void> | undefined;
  let again = false;

  const rows = computed(() =>
    fromMain.value
      .filter(({ id }) => !hidden.has(id))
      .map((row) => {
        const hope = hopes.get(row.id);
        return hope ? { ...row, status: hope.status } : row;
      }),
  );
  const byId = computed(() => new Map(rows.value.map((row) => [row.id, row])));

  async function read(): Promise<void> {
    try {
      const list = await rpc.runs.list({});
      fromMain.value = list;
      settle(list);
      loaded.value = true;
      error.value = null;
    } catch (failure) {
      error.value = failure;
    }
  }
  /** Reads the list; calls that come meanwhile are answered by one more reading. */
  async function refresh(): Promise<void> {
    if (reading) {
      again = true;
      return reading;
    }
    reading = read();
    await reading;
    reading = undefined;
    if (again) {
      again = false;
      await refresh();
    }
  }
  function settle(list: RunRow[]): void {
    const now = Date.now();
    const known = new Map(list.map((row) => [row.id, row]));
    for (const [id, hope] of hopes) {
      const row = known.get(id);
      if (!row || row.status === hope.status || now > hope.until) hopes.delete(id);
    }
    for (const id of hidden) if (!known.has(id)) hidden.delete(id);
    for (const id of details.keys()) if (!known.has(id)) details.delete(id);
  }
  // A long list costs more to send, so it is asked for less often.
  const soon = () => {
    if (waiting) return;
    waiting = true;
    setTimeout(
      () => {
        waiting = false;
        void refresh();
      },
      Math.min(2000, REFRESH_MS + fromMain.value.length),
    );
  };

  const watched = new Map<string, number>();
  onNotice((notice) => {
    if (notice.kind !== 'runs' && notice.kind !== 'metrics') return;
    soon();
    const ids = notice.kind === 'runs' ? notice.ids : [notice.run];
    for (const id of ids) if (watched.has(id)) detailSoon(id);
  });
  onReturn(() => {
    soon();
    for (const id of watched.keys()) detailSoon(id);
  });

  const pending = new Set<string>();
  function detailSoon(id: string): void {
    if (pending.has(id)) return;
    pending.add(id);
    setTimeout(() => {
      pending.delete(id);
      void detail(id, true).catch(() => undefined); // The list tells of a lost connection.
    }, 2 * REFRESH_MS);
  }

  /** The run with its spec, samples, warnings and checkpoints; kept, and read anew when `fresh`. */
  async function detail(id: string, fresh = false): Promise<RunDetail> {
    const kept = details.get(id);
    if (kept && !fresh) return kept;
    const got = await rpc.runs.get({ id });
    details.set(id, got);
    return got;
  }
  /** Keeps a run's detail live until the returned function is called. */
  function watchDetail(id: string): () => void {
    watched.set(id, (watched.get(id) ?? 0) + 1);
    return () => {
      const left = (watched.get(id) ?? 1) - 1;
      if (left > 0) watched.set(id, left);
      else watched.delete(id);
    };
  }

  /** Does an action to those of the runs that allow it. @throws RpcError after the rows are as they were. */
  async function act(action: Exclude<RunAction, 'remove'>, ids: readonly string[]): Promise<void> {
    const fit = ids.filter((id) => {
      const row = byId.value.get(id);
      return row && allows(action, row);
    });
    if (fit.length === 0) return;
    if (action !== 'step')
      for (const id of fit) {
        const row = byId.value.get(id)!;
        const status = action === 'resume' && isOver(row.status) ? 'queued' : expected[action];
        hopes.set(id, { status, until: Date.now() + HOPE_MS });
      }
    try {
      await rpc.runs[action]({ ids: fit });
    } catch (failure) {
      for (const id of fit) hopes.delete(id);
      throw failure;
    } finally {
      soon();
    }
    // Main's word counts again even if no notice comes.
    if (action !== 'step') setTimeout(soon, HOPE_MS + 1);
  }

  /** Moves runs to the trash; they vanish at once and come back if main refuses. */
  async function remove(ids: readonly string[]): Promise<void> {
    for (const id of ids) hidden.add(id);
    try {
      await rpc.runs.remove({ ids: [...ids] });
    } catch (failure) {
      for (const id of ids) hidden.delete(id);
      throw failure;
    } finally {
      soon();
    }
  }
  async function restore(ids: readonly string[]): Promise<void> {
    await rpc.runs.restore({ ids: [...ids] });
    for (const id of ids) hidden.delete(id);
    await refresh();
  }

  /** The queue in the order in which it will be worked off. */
  const queue = computed(() =>
    rows.value.filter((row) => row.queue !== null && row.status === 'queued').sort((a, b) => a.queue! - b.queue!),
  );
  /** Moves a queued run one place up (-1) or down (1). */
  async function move(id: string, by: -1 | 1): Promise<void> {
    const ids = queue.value.map((row) => row.id);
    const at = ids.indexOf(id);
    if (at < 0 || at + by < 0 || at + by >= ids.length) return;
    await moveBefore(id, ids[by < 0 ? at - 1 : at + 2] ?? null);
  }
  /** Moves a queued run in front of another, or to the end. */
  async function moveBefore(id: string, before: string | null): Promise<void> {
    if (id === before) return;
    const was = fromMain.value;
    const order = queue.value.map((row) => row.id).filter((other) => other !== id);
    order.splice(before === null ? order.length : order.indexOf(before), 0, id);
    fromMain.value = was.map((row) => (order.includes(row.id) ? { ...row, queue: order.indexOf(row.id) + 1 } : row));
    try {
      await rpc.runs.reorder({ id, before });
    } catch (failure) {
      fromMain.value = was;
      throw failure;
    } finally {
      soon();
    }
  }

  async function rename(id: string, name: string): Promise<void> {
    const was = fromMain.value;
    fromMain.value = was.map((row) => (row.id === id ? { ...row, name } : row));
    try {
      await rpc.runs.rename({ id, name });
      if (details.has(id)) await detail(id, true);
    } catch (failure) {
      fromMain.value = was;
      throw failure;
    } finally {
      soon();
    }
  }

  /** Queues the example comparison and gives its runs. */
  async function example(): Promise<RunRow[]> {
    const made = await rpc.runs.example({});
    await refresh();
    return made;
  }

  return {
    rows,
    byId,
    queue,
    details,
    loaded,
    error,
    load: refresh,
    detail,
    watchDetail,
    act,
    remove,
    restore,
    move,
    moveBefore,
    rename,
    example,
    csv: (ids: readonly string[]) => rpc.runs.csv({ ids: [...ids] }),
    events: (id: string, after: number, limit: number, readings = true) =>
      rpc.runs.events({ id, after, limit, readings }),
  };
});
