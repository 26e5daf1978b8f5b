// The desktop host: one window over an open lab. It holds no decisions about runs; those are main's, behind the RPC.
import { existsSync, mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { app, BrowserWindow, dialog, Menu, protocol, shell } from 'electron';
import { labFolder } from '../../runs/folder';
import { FolderInUse } from '../../runs/lock';
import { inWords } from '../../runs/supervisor';
import { isOver } from '../../spec/event';
import { listRuns } from '../../store/run';
import { setting } from '../../store/setting';
import { type OpenLab, openLab } from '../lab';
import { Site, siteHeaders } from '../site';
import { defaultSession, HOME, hardenContents, hardenSession, SCHEME } from './harden';
import { connectWindow } from './ipc';
import { menuTemplate } from './menu';
import { type Words, wordsFor } from './words';

/** The setting in which the window keeps its language. */
const LANGUAGE = 'language';

/** Arguments after the program's own: `--folder DIR`; Chromium's switches may stand beside it. */
export function folderArgument(argv: readonly string[]): string | undefined {
  const { values } = parseArgs({ args: [...argv], options: { folder: { type: 'string' } }, strict: false });
  return typeof values.folder === 'string' ? values.folder : undefined;
}

export function startElectron(): void {
  const folder = labFolder(folderArgument(process.argv.slice(1)));
  // Chromium's own files, and with them the single-instance lock, belong to this lab folder.
  const own = join(folder, 'window');
  try {
    mkdirSync(own, { recursive: true });
    app.setPath('userData', own);
  } catch (error) {
    refuse(error, folder);
    return;
  }
  if (!app.requestSingleInstanceLock()) {
    app.quit();
    return;
  }
  protocol.registerSchemesAsPrivileged([
    { scheme: SCHEME, privileges: { standard: true, secure: true, supportFetchAPI: true } },
  ]);
  app.on('web-contents-created', (_event, contents) => hardenContents(contents, homeAddress()));
  void app.whenReady().then(() => run(folder));
}

/** The development server's address while electron-vite runs one for an unpackaged app; else our own scheme. */
const homeAddress = (): string => (!app.isPackaged && process.env.ELECTRON_RENDERER_URL) || HOME;

async function run(folder: string): Promise<void> {
  const system = app.getLocale();
  let lab: OpenLab;
  try {
    lab = openLab({ folder, host: 'electron', complain: (message) => process.stderr.write(`${message}\n`) });
  } catch (error) {
    refuse(error, folder);
    return;
  }
  const words = () => wordsFor(setting(lab.runs.store, LANGUAGE), system);
  hardenSession(defaultSession());
  serveSite();
  const window = openWindow();
  const disconnect = connectWindow({
    contents: window.webContents,
    home: homeAddress(),
    answer: lab.answer,
    listen: (listener) => lab.notices.listen(listener),
  });
  const go = (page: string) => void window.loadURL(`${homeAddress()}#/${page}`);
  const showFolder = () => void shell.openPath(folder);
  const showMenu = () =>
    Menu.setApplicationMenu(
      Menu.buildFromTemplate(menuTemplate(words(), { go, showFolder }, process.platform === 'darwin')),
    );
  showMenu();
  window.on('focus', showMenu);
  let asked = false;
  window.on('close', (event) => {
    if (asked || !isTraining(lab)) return;
    event.preventDefault();
    asked = mayQuit(window, words());
    if (asked) window.close();
  });
  window.on('closed', disconnect);
  app.on('second-instance', () => {
    if (window.isDestroyed()) return;
    if (window.isMinimized()) window.restore();
    window.focus();
  });
  app.on('window-all-closed', () => app.quit());
  let closed = false;
  app.on('will-quit', (event) => {
    if (closed) return;
    event.preventDefault();
    void lab.close().finally(() => {
      closed = true;
      app.quit();
    });
  });
  await window.loadURL(homeAddress());
}

function refuse(error: unknown, folder: string): void {
  dialog.showErrorBox(wordsFor(undefined, app.getLocale()).cannotOpen, inWords(error, folder));
  // A folder in use is an answer, not a failure of this window.
  app.exit(error instanceof FolderInUse ? 0 : 1);
}

function openWindow(): BrowserWindow {
  const window = new BrowserWindow({
    width: 1440,
    height: 900,
    minWidth: 960,
    minHeight: 600,
    show: false,
    backgroundColor: '#101418',
    webPreferences: {
      preload: join(import.meta.dirname, preloadFile()),
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      webviewTag: false,
      spellcheck: false,
    },
  });
  window.once('ready-to-show', () => window.show());
  return window;
}

/** Beside the bundle's folder; one further up when this code is in a shared chunk. */
const preloadFile = (): string =>
  ['../preload/preload.cjs', '../../preload/preload.cjs'].find((path) => existsSync(join(import.meta.dirname, path))) ??
  '../preload/preload.cjs';

/** Answers our scheme with the window's built files. */
function serveSite(): void {
  const from = import.meta.dirname;
  const folder = [join(from, '../renderer'), join(from, '../../renderer')].find((path) => existsSync(path));
  const site = new Site(folder ?? join(from, '../renderer'));
  protocol.handle(SCHEME, async (request) => {
    const url = URL.parse(request.url);
    const file = url?.host === 'lab' ? site.find(url.pathname) : undefined;
    if (!file) return new Response('There is no such file in the lab.', { status: 404 });
    return new Response(new Uint8Array(await readFile(file.path)), { headers: siteHeaders(file) });
  });
}

const isTraining = (lab: OpenLab): boolean =>
  listRuns(lab.runs.store).some(({ status }) => status !== 'queued' && status !== 'paused' && !isOver(status));

const mayQuit = (window: BrowserWindow, words: Words): boolean =>
  dialog.showMessageBoxSync(window, {
    type: 'question',
    message: words.training,
    detail: words.trainingDetail,
    buttons: [words.keepOpen, words.quitAll],
    defaultId: 0,
    cancelId: 0,
  }) === 1;
