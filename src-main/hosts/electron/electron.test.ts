// The desktop edge with Electron replaced: what the window may not do, whom the RPC listens to, what the menu says.
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserWindowConstructorOptions, IpcMainEvent, MenuItemConstructorOptions, WebContents } from 'electron';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Notice } from '../../rpc/contract';
import type { Caller } from '../../rpc/method';

/** What the replaced module saw. */
const seen = vi.hoisted(() => ({
  windows: [] as FakeWindow[],
  menu: [] as unknown[],
  errors: [] as string[][],
  opened: [] as string[],
  exposed: {} as Record<string, unknown>,
  privileged: [] as unknown[],
  handlers: new Map<string, (request: Request) => Promise<Response>>(),
  exits: [] as number[],
  box: 0,
  firstInstance: true,
  userData: '',
  app: undefined as unknown as EventEmitter & { quit(): void },
  ipc: undefined as unknown as EventEmitter,
  renderer: undefined as unknown as EventEmitter & { sent: unknown[][] },
  session: undefined as unknown as EventEmitter & Record<string, unknown>,
}));

interface FakeWindow extends EventEmitter {
  options: BrowserWindowConstructorOptions;
  webContents: EventEmitter & {
    mainFrame: { url: string };
    sent: unknown[][];
    open?: (details: { url: string }) => unknown;
  };
  loaded: string[];
  destroyed: boolean;
}

vi.mock('electron', async () => {
  const { EventEmitter } = await import('node:events');
  class Contents extends EventEmitter {
    mainFrame = { url: 'archlab://lab/' };
    sent: unknown[][] = [];
    open?: unknown;
    send(...args: unknown[]) {
      this.sent.push(args);
    }
    isDestroyed() {
      return false;
    }
    setWindowOpenHandler(handler: unknown) {
      this.open = handler;
    }
  }
  class BrowserWindow extends EventEmitter {
    webContents = new Contents();
    loaded: string[] = [];
    destroyed = false;
    constructor(public options: unknown) {
      super();
      seen.windows.push(this as unknown as FakeWindow);
      app.emit('web-contents-created', {}, this.webContents);
    }
    async loadURL(url: string) {
      this.loaded.push(url);
    }
    show() {}
    focus() {
      this.emit('focused');
    }
    restore() {}
    isMinimized() {
      return true;
    }
    isDestroyed() {
      return this.destroyed;
    }
    close() {
      let stopped = false;
      this.emit('close', {
        preventDefault: () => {
          stopped = true;
        },
      });
      if (stopped) return;
      this.destroyed = true;
      this.emit('closed');
      app.emit('window-all-closed');
    }
  }
  const app = Object.assign(new EventEmitter(), {
    isPackaged: true,
    setPath: (_: string, path: string) => {
      seen.userData = path;
    },
    requestSingleInstanceLock: () => seen.firstInstance,
    whenReady: async () => {},
    getLocale: () => 'ru-RU',
    exit: (code: number) => seen.exits.push(code),
    quit() {
      let stopped = false;
      app.emit('will-quit', {
        preventDefault: () => {
          stopped = true;
        },
      });
      if (!stopped) app.emit('really-quit');
    },
  });
  const session = Object.assign(new EventEmitter(), {
    setPermissionRequestHandler(handler: unknown) {
      session.request = handler;
    },
    setPermissionCheckHandler(handler: unknown) {
      session.check = handler;
    },
    setDevicePermissionHandler(handler: unknown) {
      session.device = handler;
    },
  }) as unknown as EventEmitter & Record<string, unknown>;
  const renderer = Object.assign(new EventEmitter(), {
    sent: [] as unknown[][],
    send: (...args: unknown[]) => renderer.sent.push(args),
  });
  seen.app = app;
  seen.ipc = new EventEmitter();
  seen.renderer = renderer;
  seen.session = session;
  return {
    app,
    BrowserWindow,
    session: { defaultSession: session },
    ipcMain: seen.ipc,
    ipcRenderer: renderer,
    contextBridge: {
      exposeInMainWorld: (name: string, value: unknown) => {
        seen.exposed[name] = value;
      },
    },
    dialog: {
      showErrorBox: (...args: string[]) => seen.errors.push(args),
      showMessageBoxSync: () => seen.box,
    },
    Menu: {
      buildFromTemplate: (template: unknown) => template,
      setApplicationMenu: (menu: unknown) => seen.menu.push(menu),
    },
    protocol: {
      registerSchemesAsPrivileged: (list: unknown[]) => seen.privileged.push(...list),
      handle: (scheme: string, handler: (request: Request) => Promise<Response>) => seen.handlers.set(scheme, handler),
    },
    shell: { openExternal: async (url: string) => seen.opened.push(url), openPath: async () => '' },
  };
});

const { folderArgument, startElectron } = await import('./main');
const { ASK, TELL } = await import('./channels');
const { connectWindow } = await import('./ipc');
const { hardenContents, isOurs } = await import('./harden');
const { menuTemplate } = await import('./menu');
const { wordsFor } = await import('./words');
const { takeLock } = await import('../../runs/lock');
const { insertRun, setStatus } = await import('../../store/run');
const { openStore } = await import('../../store/open');
const { runSchema } = await import('../../spec/run');

let folder: string;
const argv = process.argv;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-electron-'));
  process.argv = ['electron', '.', '--folder', folder];
  Object.assign(seen, { windows: [], menu: [], errors: [], opened: [], exits: [], box: 0, firstInstance: true });
  seen.app.removeAllListeners();
  seen.ipc.removeAllListeners();
  seen.session.removeAllListeners();
});
afterEach(() => {
  process.argv = argv;
  rmSync(folder, { recursive: true, force: true });
});

const start = async (): Promise<FakeWindow> => {
  startElectron();
  await expect.poll(() => seen.windows[0]?.loaded).toHaveLength(1);
  return seen.windows[0];
};
const quit = () => {
  const done = new Promise((resolve) => seen.app.once('really-quit', resolve));
  seen.app.quit();
  return done;
};

describe('the window', () => {
  it('is sandboxed, isolated and without Node', async () => {
    const window = await start();
    expect(window.options.webPreferences).toMatchObject({
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      webviewTag: false,
      preload: expect.stringMatching(/preload[\\/]preload\.cjs$/),
    });
    expect(window.loaded).toEqual(['archlab://lab/']);
    expect(seen.privileged).toContainEqual({
      scheme: 'archlab',
      privileges: { standard: true, secure: true, supportFetchAPI: true },
    });
    expect(seen.userData).toBe(join(folder, 'window'));
    await quit();
  });

  it('goes nowhere else, opens nothing, embeds nothing', () => {
    const contents = Object.assign(new EventEmitter(), {
      open: undefined as unknown as (details: { url: string }) => unknown,
      setWindowOpenHandler(handler: (details: { url: string }) => unknown) {
        this.open = handler;
      },
    });
    hardenContents(contents as unknown as WebContents, 'archlab://lab/');
    const stopped = (event: string, url: string) => {
      const preventDefault = vi.fn();
      contents.emit(event, { url, preventDefault });
      return preventDefault.mock.calls.length > 0;
    };
    for (const event of ['will-navigate', 'will-frame-navigate', 'will-redirect']) {
      for (const url of [
        'https://example.com/',
        'file:///etc/passwd',
        'archlab://other/',
        'javascript:alert(1)',
        'not a url',
      ])
        expect(stopped(event, url), `${event} ${url}`).toBe(true);
      expect(stopped(event, 'archlab://lab/#/runs')).toBe(false);
    }
    expect(stopped('will-attach-webview', '')).toBe(true);
    for (const url of [
      'https://arxiv.org/abs/2405.21060',
      'http://example.com',
      'file:///x',
      'javascript:1',
      'smb://x',
    ])
      expect(contents.open({ url })).toEqual({ action: 'deny' });
    expect(seen.opened).toEqual(['https://arxiv.org/abs/2405.21060']);
    expect(isOurs('http://localhost:5173/x', 'http://localhost:5173')).toBe(true);
    expect(isOurs('http://localhost:5174/x', 'http://localhost:5173')).toBe(false);
  });

  it('gets no permission but to fill the clipboard, and saves only what it made itself', async () => {
    await start();
    const request = seen.session.request as (
      contents: unknown,
      permission: string,
      decide: (yes: boolean) => void,
    ) => void;
    const check = seen.session.check as (contents: unknown, permission: string) => boolean;
    for (const permission of [
      'media',
      'geolocation',
      'notifications',
      'clipboard-read',
      'openExternal',
      'fileSystem',
      'usb',
    ]) {
      const decide = vi.fn();
      request({}, permission, decide);
      expect(decide).toHaveBeenCalledWith(false);
      expect(check({}, permission)).toBe(false);
    }
    expect(check({}, 'clipboard-sanitized-write')).toBe(true);
    expect((seen.session.device as () => boolean)()).toBe(false);
    for (const [url, kept] of [
      ['blob:archlab://lab/1', true],
      ['https://example.com/x.exe', false],
    ] as const) {
      const preventDefault = vi.fn();
      seen.session.emit('will-download', { preventDefault }, { getURL: () => url });
      expect(preventDefault).toHaveBeenCalledTimes(kept ? 0 : 1);
    }
    await quit();
  });

  it('is served its own files and no others', async () => {
    await start();
    const handle = seen.handlers.get('archlab')!;
    for (const url of [
      'archlab://lab/../../package.json',
      'archlab://lab/%2e%2e/package.json',
      'archlab://other/index.html',
    ])
      expect((await handle(new Request(url))).status).toBe(404);
    await quit();
  });
});

describe('the RPC over IPC', () => {
  const connected = () => {
    const contents = Object.assign(new EventEmitter(), {
      mainFrame: { url: 'archlab://lab/#/build' },
      sent: [] as unknown[][],
      send: (...args: unknown[]) => contents.sent.push(args),
      isDestroyed: () => false,
    });
    const asked: unknown[] = [];
    const callers: Caller[] = [];
    const listeners = new Set<(notice: Notice) => void>();
    const disconnect = connectWindow({
      contents: contents as unknown as WebContents,
      home: 'archlab://lab/',
      async answer(request, caller) {
        asked.push(request);
        callers.push(caller);
        return { id: 1, ok: true, value: 'answer' };
      },
      listen(listener) {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    });
    const ask = (event: Partial<Record<keyof IpcMainEvent, unknown>>) => seen.ipc.emit(ASK, event, { id: 1 });
    return { contents, asked, callers, listeners, disconnect, ask };
  };

  it('answers the main frame of its own window', async () => {
    const { contents, asked, listeners, ask } = connected();
    ask({ sender: contents, senderFrame: contents.mainFrame });
    await expect.poll(() => contents.sent).toEqual([[TELL, { id: 1, ok: true, value: 'answer' }]]);
    expect(asked).toEqual([{ id: 1 }]);
    for (const listener of listeners) listener({ kind: 'texts' });
    expect(contents.sent[1]).toEqual([TELL, { notice: { kind: 'texts' } }]);
  });

  it('says something to the window that asked, until its page is another', () => {
    const { contents, callers, disconnect, ask } = connected();
    const own = { sender: contents, senderFrame: contents.mainFrame };
    ask(own);
    callers[0].tell({ kind: 'texts' });
    expect(contents.sent).toEqual([[TELL, { notice: { kind: 'texts' } }]]);
    contents.emit('did-navigate');
    ask(own);
    expect(callers.map(({ gone }) => gone.aborted)).toEqual([true, false]);
    disconnect();
    expect(callers[1].gone.aborted).toBe(true);
  });

  it('is deaf to other windows, other frames, other pages, and after it was closed', () => {
    const { contents, asked, listeners, disconnect, ask } = connected();
    ask({ sender: new EventEmitter(), senderFrame: contents.mainFrame });
    ask({ sender: contents, senderFrame: { url: 'archlab://lab/' } });
    ask({ sender: contents, senderFrame: null });
    contents.mainFrame.url = 'https://example.com/';
    ask({ sender: contents, senderFrame: contents.mainFrame });
    contents.mainFrame.url = 'archlab://lab/';
    disconnect();
    ask({ sender: contents, senderFrame: contents.mainFrame });
    expect(asked).toEqual([]);
    expect(listeners.size).toBe(0);
  });

  it('reaches the lab', async () => {
    const window = await start();
    const { webContents } = window;
    seen.ipc.emit(
      ASK,
      { sender: webContents, senderFrame: webContents.mainFrame },
      { id: 3, noun: 'app', method: 'info', input: {} },
    );
    await expect.poll(() => webContents.sent).toHaveLength(1);
    expect(webContents.sent[0]).toMatchObject([TELL, { id: 3, ok: true, value: { host: 'electron', folder } }]);
    await quit();
  });
});

describe('the preload', () => {
  it('lets the window send and listen, and no more', async () => {
    await import('../../preload');
    expect(Object.keys(seen.exposed)).toEqual(['archlab']);
    const bridge = seen.exposed.archlab as {
      send(request: unknown): void;
      onMessage(listener: (message: unknown) => void): void;
    };
    expect(Object.keys(bridge).sort()).toEqual(['onMessage', 'send']);
    bridge.send({ id: 1 });
    expect(seen.renderer.sent).toEqual([[ASK, { id: 1 }]]);
    const heard: unknown[][] = [];
    bridge.onMessage((...args) => heard.push(args));
    seen.renderer.emit(TELL, { sender: 'the whole of ipcRenderer' }, { notice: { kind: 'texts' } });
    expect(heard).toEqual([[{ notice: { kind: 'texts' } }]]);
  });
});

describe('starting and quitting', () => {
  it('a second time shows the first window', async () => {
    const window = await start();
    const focused = new Promise((done) => window.once('focused', done));
    seen.app.emit('second-instance');
    await focused;
    await quit();
    seen.firstInstance = false;
    seen.windows = [];
    const ended = new Promise((done) => seen.app.once('really-quit', done));
    seen.app.removeAllListeners('will-quit');
    startElectron();
    await ended;
    expect(seen.windows).toEqual([]);
  });

  it('on a folder that another host has open says who has it, in the system’s language', async () => {
    const lock = takeLock(join(folder, 'lab.lock'), 'serve');
    lock.setAddress('http://127.0.0.1:9/');
    startElectron();
    await expect.poll(() => seen.exits).toEqual([0]);
    expect(seen.errors[0][0]).toBe('Лаборатория не открывается');
    expect(seen.errors[0][1]).toMatch(/already open in process \d+ \(serve.*127\.0\.0\.1:9/s);
    expect(seen.windows).toEqual([]);
    lock.release();
  });

  it('in a folder that can not be written says so', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, 'x');
    process.argv = ['electron', '.', '--folder', file];
    startElectron();
    expect(seen.exits).toEqual([1]);
    expect(seen.errors[0][1]).toMatch(/file/);
  });

  it('asks before it quits while models are trained, and gives the folder free', async () => {
    const window = await start();
    const other = openStore(join(folder, 'lab.sqlite')).store;
    const spec = runSchema.parse({
      format: 'archlab.run/1',
      model: { format: 'archlab.model/1', width: 8, layers: [{ block: 'mlp' }] },
      task: { id: 'text' },
      budget: { steps: 5 },
    });
    insertRun(other, { id: 'trained', name: 'trained', spec, createdAt: 1, status: 'starting' });
    window.emit('close', { preventDefault: vi.fn() });
    expect(window.destroyed).toBe(false);
    setStatus(other, 'trained', 'running');
    (window as unknown as { close(): void }).close();
    expect(window.destroyed).toBe(false);
    other.close();
    seen.box = 1;
    const ended = new Promise((done) => seen.app.once('really-quit', done));
    (window as unknown as { close(): void }).close();
    await ended;
    expect(window.destroyed).toBe(true);
    takeLock(join(folder, 'lab.lock'), 'serve').release();
  });

  it('reads its folder from the arguments, among switches of Chromium', () => {
    expect(folderArgument(['.', '--no-sandbox', '--folder', '/x', '--enable-features=a'])).toBe('/x');
    expect(folderArgument(['.', '--folder=/y'])).toBe('/y');
    expect(folderArgument(['.'])).toBeUndefined();
    expect(folderArgument(['--folder'])).toBeUndefined();
  });
});

describe('the menu', () => {
  const flat = (items: MenuItemConstructorOptions[]): MenuItemConstructorOptions[] =>
    items.flatMap((item) => [item, ...(Array.isArray(item.submenu) ? flat(item.submenu) : [])]);

  it.each([
    ['en', 'Runs', 'Undo'],
    ['ru', 'Запуски', 'Отменить'],
  ])('speaks %s, with a key for each page', (language, runs, undo) => {
    const go = vi.fn();
    const items = flat(menuTemplate(wordsFor(language, 'xx'), { go, showFolder: vi.fn() }, false));
    const item = items.find(({ label }) => label === runs)!;
    expect(item.accelerator).toBe('CmdOrCtrl+2');
    (item.click as () => void)();
    expect(go).toHaveBeenCalledWith('runs');
    expect(items.find(({ role }) => role === 'undo')?.label).toBe(undo);
    const keys = items.map(({ accelerator }) => accelerator).filter(Boolean);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('starts with the program’s own on macOS', () => {
    expect(menuTemplate(wordsFor('en', 'en'), { go() {}, showFolder() {} }, true)[0].role).toBe('appMenu');
  });

  it('follows the language of the window, else the system’s', () => {
    expect(wordsFor('en', 'ru-RU').runs).toBe('Runs');
    expect(wordsFor(undefined, 'ru-RU').runs).toBe('Запуски');
    expect(wordsFor(undefined, 'de').runs).toBe('Runs');
  });

  it('brings its window to the page', async () => {
    const window = await start();
    const items = flat(seen.menu.at(-1) as MenuItemConstructorOptions[]);
    (items.find(({ label }) => label === 'Сравнение')!.click as () => void)();
    expect(window.loaded.at(-1)).toBe('archlab://lab/#/compare');
    await quit();
  });
});
