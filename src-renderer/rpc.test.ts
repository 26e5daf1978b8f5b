// Calls over a connection that comes late, breaks and returns.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Message, Request } from '../src-main/rpc/contract';
import { createRpc, RpcError } from './rpc';
import { type LinkState, socketAddress, type Transport } from './transport';

function wire() {
  const sent: Request[] = [];
  let listeners: { message(message: Message): void; state(state: LinkState): void } | undefined;
  const transport: Transport = {
    send: (request) => sent.push(request),
    open: (given) => {
      listeners = given;
    },
  };
  const states: LinkState[] = [];
  const rpc = createRpc(transport, (state) => states.push(state));
  return {
    rpc,
    sent,
    states,
    state: (state: LinkState) => listeners?.state(state),
    answer: (id: number, value: unknown) => listeners?.message({ id, ok: true, value }),
    say: (message: Message) => listeners?.message(message),
  };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('rpc client', () => {
  it('holds calls back until there is a connection, then sends each once', async () => {
    const { rpc, sent, state, answer } = wire();
    const asked = rpc.client.runs.list({});
    expect(sent).toEqual([]);
    state('open');
    expect(sent).toMatchObject([{ noun: 'runs', method: 'list', input: {} }]);
    answer(sent[0].id, []);
    await expect(asked).resolves.toEqual([]);
  });

  it('tells the answers apart by their number, in whatever order they come', async () => {
    const { rpc, sent, state, answer } = wire();
    state('open');
    const first = rpc.client.blocks.list({});
    const second = rpc.client.tasks.list({});
    answer(sent[1].id, ['task']);
    answer(sent[0].id, ['block']);
    await expect(first).resolves.toEqual(['block']);
    await expect(second).resolves.toEqual(['task']);
  });

  it('asks a question again after a loss, but never repeats what may have been done', async () => {
    const { rpc, sent, state, answer } = wire();
    state('open');
    const question = rpc.client.runs.list({});
    const deed = rpc.client.runs.create({ runs: [] });
    const failed = expect(deed).rejects.toMatchObject({ reason: 'lost', call: 'runs.create' });
    state('lost');
    await failed;
    state('open');
    expect(sent.map(({ method }) => method)).toEqual(['list', 'create', 'list']);
    answer(sent[2].id, ['run']);
    await expect(question).resolves.toEqual(['run']);
  });

  it('sends a deed that was asked for while the connection was away', async () => {
    const { rpc, sent, state, answer } = wire();
    state('open');
    state('lost');
    const deed = rpc.client.runs.pause({ ids: ['a'] });
    state('open');
    expect(sent).toMatchObject([{ method: 'pause' }]);
    answer(sent[0].id, null);
    await expect(deed).resolves.toBeNull();
  });

  it('gives up after half a minute without a connection, saying that nothing was done', async () => {
    const { rpc, sent, state } = wire();
    const asked = expect(rpc.client.runs.create({ runs: [] })).rejects.toMatchObject({ reason: 'unreachable' });
    await vi.advanceTimersByTimeAsync(30_000);
    await asked;
    state('open');
    expect(sent).toEqual([]);
  });

  it('does not run out of time while main works on an answer', async () => {
    const { rpc, sent, state, answer } = wire();
    state('open');
    const asked = rpc.client.devices.test({ id: 'cpu' });
    await vi.advanceTimersByTimeAsync(120_000);
    answer(sent[0].id, 'done');
    await expect(asked).resolves.toBe('done');
  });

  it('carries the problems of a refusal', async () => {
    const { rpc, sent, state, say } = wire();
    state('open');
    const asked = rpc.client.runs.create({ runs: [] });
    const problems = [{ path: 'run.budget.steps', message: 'is missing' }];
    say({ id: sent[0].id, ok: false, error: { name: 'SpecError', message: 'run.budget.steps: is missing', problems } });
    const error = await asked.catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(RpcError);
    expect(error).toMatchObject({ reason: 'refused', problems });
  });

  it('passes notices on until told to stop, and says when the connection is back', () => {
    const { rpc, state, states, say } = wire();
    const notices: unknown[] = [];
    const returns = vi.fn();
    const stop = rpc.onNotice((notice) => notices.push(notice));
    rpc.onReturn(returns);
    state('open');
    expect(returns).not.toHaveBeenCalled();
    say({ notice: { kind: 'models' } });
    stop();
    say({ notice: { kind: 'texts' } });
    expect(notices).toEqual([{ kind: 'models' }]);
    state('lost');
    state('open');
    expect(returns).toHaveBeenCalledTimes(1);
    expect(states).toEqual(['open', 'lost', 'open']);
  });
});

describe('address of main', () => {
  it('is beside the page, with its token', () => {
    expect(socketAddress({ protocol: 'http:', host: '127.0.0.1:5000', search: '?token=a b' })).toBe(
      'ws://127.0.0.1:5000/rpc?token=a%20b',
    );
    expect(socketAddress({ protocol: 'https:', host: 'lab', search: '' })).toBe('wss://lab/rpc');
  });
});
