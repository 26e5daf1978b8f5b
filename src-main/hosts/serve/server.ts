// The served lab: the window's files over HTTP and the RPC over a WebSocket, on loopback, for whoever has the token.
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Message, Notice, Reply } from '../../rpc/contract';
import type { Caller } from '../../rpc/method';
import { Site, siteHeaders } from '../site';
import { cookieName, cookieOf, isLoopback, isSameOrigin, sameToken } from './guard';

export interface ServeOptions {
  /** Folder of the built window. */
  renderer: string;
  answer(request: unknown, caller: Caller): Promise<Reply>;
  listen(listener: (notice: Notice) => void): () => void;
  /** 0 takes any free one. */
  port?: number;
  token?: string;
}

export interface Served {
  port: number;
  token: string;
  /** With the token, as it is printed. */
  address: string;
  close(): Promise<void>;
}

const ADDRESS = '127.0.0.1';
/** A text that the user drops into the window comes in one message. */
const MAX_MESSAGE_BYTES = 256 * 1024 * 1024;
const MAX_SOCKETS = 64;
const PING_MS = 30_000;
/** A window that does not keep up gets no more notices until it does; it asks by cursor, so it misses nothing. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;

/** @throws Error of node:net when the port is taken. */
export async function serve({
  renderer,
  answer,
  listen,
  port = 0,
  token = randomBytes(24).toString('base64url'),
}: ServeOptions): Promise<Served> {
  const site = new Site(renderer);
  const server = createServer((request, response) => handle(request, response));
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false });

  const boundPort = () => (server.address() as AddressInfo).port;
  /** What a request is answered with; it decides, `handle` writes. */
  function answerTo({ headers, method, url: target }: IncomingMessage): Answer {
    if (!isLoopback(headers.host)) return refusal(403, FOREIGN_HOST);
    if (headers.origin !== undefined && !isSameOrigin(headers.origin, headers.host))
      return refusal(403, FOREIGN_ORIGIN);
    if (method !== 'GET' && method !== 'HEAD') return refusal(405, 'Only GET and HEAD are answered here.');
    const url = urlOf(target);
    if (!url) return refusal(400, 'This is not an address that the lab understands.');
    const given = url.searchParams.get('token');
    if (given !== null && !sameToken(given, token)) return refusal(401, NO_TOKEN);
    if (given !== null) {
      // The token leaves the address and the history; a cookie that no script can read takes its place.
      const cookie = `${cookieName(boundPort())}=${token}; HttpOnly; SameSite=Strict; Path=/`;
      const Location = url.pathname.replace(/^\/+/, '/');
      const headers = { Location, 'Set-Cookie': cookie, 'Cache-Control': 'no-store', 'Referrer-Policy': 'no-referrer' };
      return { status: 303, headers, body: '' };
    }
    if (!sameToken(cookieOf(headers.cookie, cookieName(boundPort())), token)) return refusal(401, NO_TOKEN);
    const file = site.find(url.pathname);
    if (!file) return refusal(404, url.pathname === '/' ? NOT_BUILT : 'There is no such file in the lab.');
    return { status: 200, headers: siteHeaders(file, `ws://${headers.host}`), file: file.path };
  }

  function handle(request: IncomingMessage, response: ServerResponse): void {
    const { status, headers, ...content } = answerTo(request);
    response.writeHead(status, headers);
    if (request.method === 'HEAD') response.end();
    else if ('body' in content) response.end(content.body);
    else
      createReadStream(content.file)
        .on('error', () => response.destroy())
        .pipe(response);
  }

  /** Why a socket is refused; undefined lets it in. */
  function objection({ headers, url: target }: IncomingMessage): [number, string] | undefined {
    const url = urlOf(target);
    if (!isLoopback(headers.host)) return [403, FOREIGN_HOST];
    if (!isSameOrigin(headers.origin, headers.host)) return [403, FOREIGN_ORIGIN];
    if (url?.pathname !== '/rpc') return [404, 'The lab answers at /rpc.'];
    const cookie = cookieOf(headers.cookie, cookieName(boundPort()));
    if (!sameToken(cookie, token) && !sameToken(url.searchParams.get('token'), token)) return [401, NO_TOKEN];
    if (sockets.clients.size >= MAX_SOCKETS) return [503, 'Too many windows are open.'];
    return undefined;
  }

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const objected = objection(request);
    if (objected) hangUp(socket, ...objected);
    else sockets.handleUpgrade(request, socket, head, (client) => attend(client));
  });

  const alive = new WeakSet<WebSocket>();
  function attend(client: WebSocket): void {
    const say = (message: Message) => {
      if (client.readyState === client.OPEN) client.send(JSON.stringify(message));
    };
    alive.add(client);
    const leaving = new AbortController();
    const caller: Caller = { tell: (notice) => say({ notice }), gone: leaving.signal };
    const deafen = listen((notice) => {
      if (client.bufferedAmount < MAX_WAITING_BYTES) say({ notice });
    });
    client.on('pong', () => alive.add(client));
    client.on('error', () => client.terminate());
    client.on('close', () => {
      deafen();
      leaving.abort();
    });
    client.on('message', (data, isBinary) => {
      const request = isBinary ? undefined : parsed(data.toString());
      if (request === undefined) client.close(1003, 'text frames of JSON only');
      else void answer(request, caller).then(say);
    });
  }
  const pinging = setInterval(() => {
    for (const client of sockets.clients) {
      if (!alive.has(client)) client.terminate();
      alive.delete(client);
      client.ping();
    }
  }, PING_MS);
  pinging.unref();

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, ADDRESS, resolve);
  });
  return {
    port: boundPort(),
    token,
    address: `http://${ADDRESS}:${boundPort()}/?token=${token}`,
    async close() {
      clearInterval(pinging);
      for (const client of sockets.clients) client.close(1001, 'the lab is closing');
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const patience = setTimeout(() => {
        for (const client of sockets.clients) client.terminate();
        server.closeAllConnections();
      }, 500);
      await closed;
      clearTimeout(patience);
    },
  };
}

const FOREIGN_HOST = 'The lab answers only to 127.0.0.1 and localhost.';
const FOREIGN_ORIGIN = 'Another site asked for this; the lab answers its own window only.';
const NO_TOKEN =
  'This address lacks the token of this lab. Open the address that the lab printed when it started.\n' +
  'В этом адресе нет ключа этой лаборатории. Откройте адрес, который лаборатория напечатала при старте.';
const NOT_BUILT = 'The window is not built. Run npm start, which builds what is missing.';

type Answer = { status: number; headers: Record<string, string> } & ({ body: string } | { file: string });

/** The request's target as a path below our own address, whatever it begins with. */
const urlOf = (target = ''): URL | undefined => URL.parse(`http://${ADDRESS}${target}`) ?? undefined;

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const refusal = (status: number, sentence: string): Answer => ({
  status,
  headers: {
    'Content-Type': 'text/plain; charset=utf-8',
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-store',
    'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  },
  body: `${sentence}\n`,
});

function hangUp(socket: Duplex, status: number, sentence: string): void {
  const body = `${sentence}\n`;
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
