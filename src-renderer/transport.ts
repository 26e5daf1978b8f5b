// Two ways to main that look the same: a WebSocket to the host that served this page, or Electron's preload bridge.
import type { Message, Request } from '../src-main/rpc/contract';

export type LinkState = 'connecting' | 'open' | 'lost';

export interface Transport {
  /** Sends at once; only called while the state is `open`. */
  send(request: Request): void;
  /** Sets the two listeners and begins to connect. */
  open(listeners: { message(message: Message): void; state(state: LinkState): void }): void;
}

/** What `preload.ts` puts on `window.archlab`. */
export interface Bridge {
  send(request: Request): void;
  onMessage(listener: (message: Message) => void): void;
}

declare global {
  interface Window {
    archlab?: Bridge;
  }
}

/** Electron: messages go over IPC, which cannot be lost while the window lives. */
const bridgeTransport = (bridge: Bridge): Transport => ({
  // The bridge takes plain data only, and what pages ask with may be one of Vue's proxies.
  send: (request) => bridge.send(JSON.parse(JSON.stringify(request)) as Request),
  open({ message, state }) {
    bridge.onMessage(message);
    state('open');
  },
});

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5000;

/** Serve: one WebSocket, opened anew after a loss with growing pauses, at once when the tab comes back to view or online. */
function socketTransport(url: string): Transport {
  let socket: WebSocket | undefined;
  let waitMs = FIRST_WAIT_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    send: (request) => socket?.send(JSON.stringify(request)),
    open({ message, state }) {
      const dial = () => {
        clearTimeout(timer);
        const fresh = new WebSocket(url);
        socket = fresh;
        fresh.onopen = () => {
          waitMs = FIRST_WAIT_MS;
          state('open');
        };
        fresh.onmessage = (event) => message(JSON.parse(String(event.data)) as Message);
        fresh.onclose = () => {
          state('lost');
          timer = setTimeout(dial, waitMs);
          waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
        };
      };
      const wake = () => {
        if (socket?.readyState === WebSocket.CLOSED && document.visibilityState === 'visible') dial();
      };
      window.addEventListener('online', wake);
      document.addEventListener('visibilitychange', wake);
      state('connecting');
      dial();
    },
  };
}

/** The address of `/rpc` beside this page; a `?token=` of the page's address goes along. */
export function socketAddress({ protocol, host, search }: Pick<Location, 'protocol' | 'host' | 'search'>): string {
  const token = new URLSearchParams(search).get('token');
  return `${protocol === 'https:' ? 'wss' : 'ws'}://${host}/rpc${token ? `?token=${encodeURIComponent(token)}` : ''}`;
}

/** The transport of the host that shows this window. */
export const hostTransport = (): Transport =>
  window.archlab ? bridgeTransport(window.archlab) : socketTransport(socketAddress(window.location));
