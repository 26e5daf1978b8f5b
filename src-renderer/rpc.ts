// The typed client of main: `rpc.runs.list({})`. Calls wait for the connection, and outlive its loss where that is safe.
import { ref } from 'vue';
import type { Api, Client, Message, Notice, Noun, Request } from '../src-main/rpc/contract';
import type { Problem } from '../src-main/spec/error';
import type { LinkState, Transport } from './transport';

/**
 * Why a call failed. `refused`: main answered with an error. `lost`: the connection broke after the call was sent, so it
 * may or may not have been done. `unreachable`: main could not be reached in time, nothing was done.
 */
export class RpcError extends Error {
  override name = 'RpcError';
  constructor(
    readonly reason: 'refused' | 'lost' | 'unreachable',
    message: string,
    /** `runs.create` and the like. */
    readonly call: string,
    readonly problems: readonly Problem[] = [],
  ) {
    super(message);
  }
}

/** Questions that change nothing: they are asked again after a loss. Every other call is sent once at most. */
const SAFE: { [N in Noun]: readonly (keyof Api[N])[] } = {
  app: ['info'],
  settings: ['get', 'set'],
  blocks: ['list'],
  tasks: ['list', 'preview'],
  texts: ['list'],
  models: ['inspect', 'causality', 'presets', 'list'],
  runs: ['list', 'get', 'events', 'csv'],
  metrics: ['names', 'series'],
  devices: ['list', 'test'],
  generations: ['cancel'],
  agreements: ['list', 'cancel'],
};
const REACH_MS = 30_000;

interface Pending {
  request: Request;
  call: string;
  safe: boolean;
  sent: boolean;
  resolve(value: unknown): void;
  reject(error: RpcError): void;
  giveUp?: ReturnType<typeof setTimeout>;
}

export interface Rpc {
  client: Client;
  /** Calls the listener with each notice; returns how to stop. */
  onNotice(listener: (notice: Notice) => void): () => void;
  /** Calls the listener after a lost connection is back, since notices may have been missed; returns how to stop. */
  onReturn(listener: () => void): () => void;
}

/** The client's workings over one transport. `onState` hears of every change of the connection. */
export function createRpc(transport: Transport, onState: (state: LinkState) => void = () => {}): Rpc {
  const pending = new Map<number, Pending>();
  const noticed = new Set<(notice: Notice) => void>();
  const returned = new Set<() => void>();
  let state: LinkState = 'connecting';
  let nextId = 1;
  let wasLost = false;

  const settle = (call: Pending) => {
    clearTimeout(call.giveUp);
    pending.delete(call.request.id);
  };
  const waitForMain = (call: Pending) => {
    call.giveUp ??= setTimeout(() => {
      settle(call);
      call.reject(new RpcError('unreachable', `${call.call}: main can't be reached`, call.call));
    }, REACH_MS);
  };
  const send = (call: Pending) => {
    clearTimeout(call.giveUp);
    call.giveUp = undefined;
    call.sent = true;
    transport.send(call.request);
  };

  transport.open({
    message(message: Message) {
      if ('notice' in message) {
        for (const listener of noticed) listener(message.notice);
        return;
      }
      const call = pending.get(message.id);
      if (!call) return;
      settle(call);
      if (message.ok) call.resolve(message.value);
      else call.reject(new RpcError('refused', message.error.message, call.call, message.error.problems));
    },
    state(next: LinkState) {
      state = next;
      onState(next);
      if (next === 'open') {
        for (const call of pending.values()) if (!call.sent) send(call);
        if (wasLost) for (const listener of returned) listener();
        wasLost = false;
      }
      if (next === 'lost') {
        wasLost = true;
        for (const call of [...pending.values()]) {
          if (call.sent && !call.safe) {
            settle(call);
            call.reject(new RpcError('lost', `${call.call}: the connection broke before the answer came`, call.call));
          } else {
            call.sent = false;
            waitForMain(call);
          }
        }
      }
    },
  });

  const ask = (noun: string, method: string, input: unknown): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const safe = (SAFE[noun as Noun] as readonly string[] | undefined)?.includes(method) ?? false;
      const request = { id: nextId++, noun, method, input };
      const call: Pending = { request, call: `${noun}.${method}`, safe, sent: false, resolve, reject };
      pending.set(request.id, call);
      if (state === 'open') send(call);
      else waitForMain(call);
    });

  const client = new Proxy({} as Client, {
    get: (_, noun: string) =>
      new Proxy({}, { get: (_, method: string) => (input: unknown) => ask(noun, method, input) }),
  });
  const listen =
    <L>(set: Set<L>) =>
    (listener: L) => {
      set.add(listener);
      return () => void set.delete(listener);
    };
  return { client, onNotice: listen(noticed), onReturn: listen(returned) };
}

/** How the window is connected to main: shown in the rail and as a banner. */
export const linkState = ref<LinkState>('connecting');

let current: Rpc | undefined;
const connected = (): Rpc => {
  if (!current) throw new Error('internal: the window asked main before start() connected it');
  return current;
};

/** Connects the window; called once, by start(). */
export function connect(transport: Transport): void {
  current = createRpc(transport, (state) => {
    linkState.value = state;
  });
}

/** Asks main: `await rpc.runs.list({})`. Rejects with an RpcError. */
export const rpc: Client = new Proxy({} as Client, {
  get: (_, noun: Noun) => connected().client[noun],
});
export const onNotice: Rpc['onNotice'] = (listener) => connected().onNotice(listener);
export const onReturn: Rpc['onReturn'] = (listener) => connected().onReturn(listener);
