// The served lab: who gets in, what is served, and what goes over the socket.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { Notice, Reply } from '../../rpc/contract';
import type { Caller } from '../../rpc/method';
import { opener } from './browser';
import { cookieOf, isLoopback, isSameOrigin, sameToken } from './guard';
import { type Served, serve } from './server';

let folder: string;
let served: Served;
let asked: unknown[];
let callers: Caller[];
let listeners: Set<(notice: Notice) => void>;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-serve-'));
  const renderer = join(folder, 'renderer');
  mkdirSync(join(renderer, 'assets'), { recursive: true });
  writeFileSync(join(renderer, 'index.html'), '<title>Archlab</title>');
  writeFileSync(join(renderer, 'assets', 'main-1a2b.js'), 'export {};');
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  symlinkSync(join(folder, 'secret.txt'), join(renderer, 'link.txt'));
  asked = [];
  callers = [];
  listeners = new Set();
  served = await serve({
    renderer,
    async answer(request, caller) {
      callers.push(caller);
      asked.push(request);
      return { id: (request as { id: number }).id, ok: true, value: request } satisfies Reply;
    },
    listen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  });
});
afterEach(async () => {
  await served.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}
/** Asks with exactly these headers and this path, which fetch would tidy. */
const get = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const asking = httpRequest({ host: '127.0.0.1', port: served.port, path, headers, method }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (part) => {
        body += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    asking.on('error', reject);
    asking.end();
  });
const cookie = () => ({ Cookie: `other=1; archlab_${served.port}=${served.token}` });
const host = () => `127.0.0.1:${served.port}`;
const origin = () => `http://${host()}`;

describe('the token', () => {
  it('is in the printed address, and is exchanged for a cookie that no script reads', async () => {
    expect(served.address).toBe(`http://127.0.0.1:${served.port}/?token=${served.token}`);
    expect(served.token).toMatch(/^[\w-]{32}$/);
    const first = await get(`/?token=${served.token}`);
    expect(first.status).toBe(303);
    expect(first.headers.location).toBe('/');
    expect(first.headers['set-cookie']).toEqual([
      `archlab_${served.port}=${served.token}; HttpOnly; SameSite=Strict; Path=/`,
    ]);
    const page = await get('/', { Cookie: String(first.headers['set-cookie']).split(';')[0] });
    expect(page).toMatchObject({ status: 200, body: '<title>Archlab</title>' });
  });

  it.each([
    ['nothing', '/', {}],
    ['a wrong token', '/?token=wrong', {}],
    ['an empty token', '/?token=', {}],
    ['a wrong cookie', '/', { Cookie: 'archlab_1=x' }],
    ['a file asked for without it', '/assets/main-1a2b.js', {}],
  ])('is wanted: %s gets a sentence', async (_, path, headers) => {
    const answer = await get(path, headers as Record<string, string>);
    expect(answer.status).toBe(401);
    expect(answer.body).toMatch(/Open the address that the lab printed/);
    expect(answer.headers['set-cookie']).toBeUndefined();
  });

  it('does not lead to another host', async () => {
    const answer = await get(`//evil.example/?token=${served.token}`);
    expect(answer.headers.location).toBe('/evil.example/');
  });
});

describe('files', () => {
  it('come with their types and strict headers', async () => {
    const page = await get('/', cookie());
    expect(page.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
    });
    const policy = String(page.headers['content-security-policy']);
    expect(policy).toMatch(/default-src 'none'; script-src 'self';/);
    expect(policy).toContain(`connect-src 'self' ws://${host()}`);
    expect(policy).not.toMatch(/unsafe-eval|script-src[^;]*unsafe-inline/);
    const script = await get('/assets/main-1a2b.js?v=1', cookie());
    expect(script).toMatchObject({ status: 200, body: 'export {};' });
    expect(script.headers).toMatchObject({
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'private, max-age=31536000, immutable',
    });
    expect(await get('/', cookie(), 'HEAD')).toMatchObject({ status: 200, body: '' });
  });

  it.each([
    '/../secret.txt',
    '/assets/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/..\\secret.txt',
    '/assets/%00',
    '/%',
    '//secret.txt',
    'http://127.0.0.1/index.html',
    '/link.txt',
    '/assets',
    '/index.html/',
  ])('outside of the list are not found: %s', async (path) => {
    const answer = await get(path, cookie());
    expect([400, 404]).toContain(answer.status);
    expect(answer.body).not.toMatch(/secret$/);
  });

  it('that a new build made are found', async () => {
    writeFileSync(join(folder, 'renderer', 'assets', 'new-9z.css'), 'a{}');
    await new Promise((done) => setTimeout(done, 1050));
    expect(await get('/assets/new-9z.css', cookie())).toMatchObject({ status: 200, body: 'a{}' });
  });
});

describe('requests from elsewhere', () => {
  it.each(['evil.example', 'evil.example:80', '127.0.0.1.evil.example', '192.168.0.5'])(
    'to the host %j are refused',
    async (name) => {
      const answer = await get('/', { ...cookie(), Host: name });
      expect([400, 403]).toContain(answer.status);
      expect(answer.body).not.toMatch(/Archlab<\/title>/);
    },
  );

  it('from another origin are refused, whatever they know', async () => {
    for (const from of [
      'http://evil.example',
      'null',
      `https://${host()}`,
      'http://127.0.0.1:1',
      `http://localhost:${served.port}`,
    ])
      expect((await get('/', { ...cookie(), Origin: from })).status, from).toBe(403);
    expect((await get('/', { ...cookie(), Origin: origin() })).status).toBe(200);
  });

  it('that would change something are refused', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
      expect((await get('/', cookie(), method)).status).toBe(405);
  });

  it('can not reach another interface than loopback', async () => {
    // 127.0.0.2 is loopback too, and not what the server is bound to.
    const reached = await new Promise((resolve) => {
      const socket = connect(served.port, '127.0.0.2');
      socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    });
    expect(reached).toBe(false);
  });
});

describe('the socket', () => {
  const dial = (path: string, headers: Record<string, string>) =>
    new Promise<WebSocket | number>((resolve) => {
      const socket = new WebSocket(`ws://${host()}${path}`, { headers });
      socket.on('open', () => resolve(socket));
      socket.on('unexpected-response', (_, response) => resolve(response.statusCode ?? 0));
      socket.on('error', () => {});
    });
  const heard = (socket: WebSocket) =>
    new Promise((resolve) => socket.once('message', (data) => resolve(JSON.parse(data.toString()))));

  it('opens for the window with its cookie, or with the token', async () => {
    for (const [path, more] of [
      ['/rpc', cookie()],
      [`/rpc?token=${served.token}`, {}],
    ] as const) {
      const socket = (await dial(path, { Origin: origin(), ...more })) as WebSocket;
      expect(socket).toBeInstanceOf(WebSocket);
      socket.send('{"id":1,"noun":"app","method":"info","input":{}}');
      expect(await heard(socket)).toEqual({
        id: 1,
        ok: true,
        value: { id: 1, noun: 'app', method: 'info', input: {} },
      });
      for (const listener of listeners) listener({ kind: 'models' });
      expect(await heard(socket)).toEqual({ notice: { kind: 'models' } });
      const closed = new Promise((done) => socket.once('close', done));
      socket.close();
      await closed;
      await expect.poll(() => listeners.size).toBe(0);
    }
  });

  it('says something to the window that asked alone, and tells when it has left', async () => {
    const [own, other] = (await Promise.all(
      [1, 2].map(() => dial('/rpc', { Origin: origin(), ...cookie() })),
    )) as WebSocket[];
    let others = 0;
    other.on('message', () => others++);
    own.send('{"id":1,"noun":"app","method":"info","input":{}}');
    await heard(own);
    callers[0].tell({ kind: 'texts' });
    expect(await heard(own)).toEqual({ notice: { kind: 'texts' } });
    expect([others, callers[0].gone.aborted]).toEqual([0, false]);
    own.close();
    await expect.poll(() => callers[0].gone.aborted).toBe(true);
    other.close();
  });

  it('stays shut for everyone else', async () => {
    expect(await dial('/rpc', { Origin: origin() })).toBe(401);
    expect(await dial('/rpc?token=wrong', { Origin: origin() })).toBe(401);
    expect(await dial('/rpc', { ...cookie() })).toBe(403);
    expect(await dial('/rpc', { ...cookie(), Origin: 'http://evil.example' })).toBe(403);
    expect(await dial('/rpc', { ...cookie(), Origin: 'http://evil.example', Host: 'evil.example' })).toBe(403);
    expect(await dial('/other', { ...cookie(), Origin: origin() })).toBe(404);
    expect(asked).toEqual([]);
  });

  it('is closed on frames that are no requests', async () => {
    for (const frame of ['{not json', Buffer.from([1, 2, 3])]) {
      const socket = (await dial('/rpc', { Origin: origin(), ...cookie() })) as WebSocket;
      const code = new Promise((done) => socket.once('close', done));
      socket.send(frame);
      expect(await code).toBe(1003);
    }
    expect(asked).toEqual([]);
  });

  it('takes a text of many megabytes, and no end of them not', async () => {
    const socket = (await dial('/rpc', { Origin: origin(), ...cookie() })) as WebSocket;
    socket.send(JSON.stringify({ id: 2, text: 'x'.repeat(5_000_000) }));
    expect(await heard(socket)).toMatchObject({ id: 2, ok: true });
    socket.terminate();
  });
});

describe('decisions', () => {
  it('about hosts and origins', () => {
    for (const name of ['127.0.0.1', '127.0.0.1:80', 'localhost:8080', 'LOCALHOST', '[::1]:80'])
      expect(isLoopback(name), name).toBe(true);
    for (const name of [
      undefined,
      '',
      'localhost.evil.example',
      '127.0.0.1@evil.example',
      '127.0.0.1:80:80',
      '0.0.0.0',
      '::1',
      'localhost:port',
    ])
      expect(isLoopback(name), String(name)).toBe(false);
    expect(isSameOrigin('http://localhost:5173', 'localhost:5173')).toBe(true);
    expect(isSameOrigin('http://localhost:5173', 'localhost:5174')).toBe(false);
    expect(isSameOrigin(undefined, 'localhost')).toBe(false);
  });

  it('about tokens and cookies', () => {
    expect(sameToken('abc', 'abc')).toBe(true);
    for (const given of [undefined, null, '', 'ab', 'abd', 'abcd']) expect(sameToken(given, 'abc')).toBe(false);
    expect(cookieOf('a=1; b=2=3; c', 'b')).toBe('2=3');
    expect(cookieOf('ab=1', 'b')).toBeUndefined();
    expect(cookieOf(undefined, 'b')).toBeUndefined();
  });

  it('about browsers', () => {
    expect(opener({}, 'linux')).toBeUndefined();
    expect(opener({ DISPLAY: ':0' }, 'linux')).toEqual(['xdg-open']);
    expect(opener({ WAYLAND_DISPLAY: 'wayland-0' }, 'linux')).toEqual(['xdg-open']);
    expect(opener({ DISPLAY: ':0', CI: 'true' }, 'linux')).toBeUndefined();
    expect(opener({}, 'darwin')).toEqual(['open']);
    expect(opener({ SSH_CONNECTION: 'x' }, 'darwin')).toBeUndefined();
    expect(opener({}, 'win32')?.[0]).toBe('rundll32');
  });
});
