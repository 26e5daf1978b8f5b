// The list of runs: actions show at once, and are taken back if main refuses.
import { createPinia, setActivePinia } from 'pinia';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Message, Request, RunRow } from '../../src-main/rpc/contract';
import { connect } from '../rpc';
import { useRuns } from './runs';

const row = (id: string, rest: Partial<RunRow>): RunRow =>
  ({ id, name: id, status: 'running', queue: null, seq: 1, resumable: false, ...rest }) as RunRow;

/** A main that holds rows and does what it is told, unless it refuses. */
function fakeMain(rows: RunRow[]) {
  let tell: (message: Message) => void = () => undefined;
  const sent: string[] = [];
  const state = { refuses: false, rows };
  connect({
    open({ message, state: link }) {
      tell = message;
      link('open');
    },
    send({ id, method, input }: Request) {
      sent.push(`${method} ${JSON.stringify(input)}`);
      const answer = (): unknown => {
        if (method === 'list') return structuredClone(state.rows);
        if (state.refuses) throw new Error('the worker does not answer');
        return undefined;
      };
      setTimeout(() => {
        try {
          tell({ id, ok: true, value: answer() });
        } catch (error) {
          tell({ id, ok: false, error: { name: 'Error', message: (error as Error).message } });
        }
      }, 10);
    },
  });
  return { state, sent, notice: (ids: string[]) => tell({ notice: { kind: 'runs', ids } }) };
}

beforeEach(() => {
  vi.useFakeTimers();
  setActivePinia(createPinia());
});
afterEach(() => {
  vi.useRealTimers();
});
async function open(rows: RunRow[]) {
  const main = fakeMain(rows);
  const runs = useRuns();
  void runs.load();
  await vi.advanceTimersByTimeAsync(20);
  return { main, runs };
}
const failure = (work: Promise<unknown>) =>
  work.then(
    () => null,
    (error: Error) => error.message,
  );

describe('actions', () => {
  it('show at once, and stay when main agrees', async () => {
    const { main, runs } = await open([row('a', {})]);
    const done = runs.act('pause', ['a']);
    expect(runs.byId.get('a')!.status).toBe('paused');
    main.state.rows = [row('a', { status: 'paused' })];
    await vi.advanceTimersByTimeAsync(500);
    await done;
    expect(runs.byId.get('a')!.status).toBe('paused');
  });
  it('are taken back when main refuses', async () => {
    const { main, runs } = await open([row('a', {})]);
    main.state.refuses = true;
    const said = failure(runs.act('stop', ['a']));
    expect(runs.byId.get('a')!.status).toBe('stopped');
    await vi.advanceTimersByTimeAsync(20);
    expect(await said).toContain('does not answer');
    expect(runs.byId.get('a')!.status).toBe('running');
  });
  it('give way to what main says if it never comes about', async () => {
    const { runs } = await open([row('a', {})]);
    void runs.act('pause', ['a']);
    await vi.advanceTimersByTimeAsync(6000);
    expect(runs.byId.get('a')!.status).toBe('running');
  });
  it('reach only the runs that allow them', async () => {
    const { main, runs } = await open([row('a', {}), row('b', { status: 'finished' })]);
    void runs.act('pause', ['a', 'b']);
    await vi.advanceTimersByTimeAsync(20);
    expect(main.sent).toContain('pause {"ids":["a"]}');
  });
});

describe('deletion', () => {
  it('hides at once and shows again after an undo', async () => {
    const { main, runs } = await open([row('a', {}), row('b', {})]);
    void runs.remove(['a']);
    expect(runs.rows.map(({ id }) => id)).toEqual(['b']);
    main.state.rows = [row('b', {})];
    await vi.advanceTimersByTimeAsync(500);
    expect(runs.rows.map(({ id }) => id)).toEqual(['b']);
    main.state.rows = [row('a', {}), row('b', {})];
    void runs.restore(['a']);
    await vi.advanceTimersByTimeAsync(500);
    expect(runs.rows.map(({ id }) => id)).toEqual(['a', 'b']);
  });
  it('comes back when main refuses', async () => {
    const { main, runs } = await open([row('a', {})]);
    main.state.refuses = true;
    const said = failure(runs.remove(['a']));
    await vi.advanceTimersByTimeAsync(20);
    expect(await said).toContain('does not answer');
    expect(runs.rows).toHaveLength(1);
  });
});

describe('queue', () => {
  const queued = () => ['a', 'b', 'c'].map((id, i) => row(id, { status: 'queued', queue: i + 1 }));
  it('moves a run up and down, and asks main for the same', async () => {
    const { main, runs } = await open(queued());
    void runs.move('c', -1);
    expect(runs.queue.map(({ id }) => id)).toEqual(['a', 'c', 'b']);
    void runs.move('a', 1);
    expect(runs.queue.map(({ id }) => id)).toEqual(['c', 'a', 'b']);
    await vi.advanceTimersByTimeAsync(20);
    expect(main.sent.filter((line) => line.startsWith('reorder'))).toEqual([
      'reorder {"id":"c","before":"b"}',
      'reorder {"id":"a","before":"b"}',
    ]);
  });
  it('does nothing at either end', async () => {
    const { main, runs } = await open(queued());
    void runs.move('a', -1);
    void runs.move('c', 1);
    await vi.advanceTimersByTimeAsync(20);
    expect(main.sent.filter((line) => line.startsWith('reorder'))).toEqual([]);
  });
});

it('reads the list again when main tells of a change, once for many notices', async () => {
  const { main, runs } = await open([]);
  main.state.rows = [row('a', {})];
  for (let i = 0; i < 5; i++) main.notice(['a']);
  await vi.advanceTimersByTimeAsync(1000);
  expect(runs.rows).toHaveLength(1);
  expect(main.sent.filter((line) => line.startsWith('list'))).toHaveLength(2);
});
