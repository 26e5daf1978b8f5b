// Takes from the window whatever it does not need: navigation, other windows, permissions, embedded pages.
import { type Session, session as sessions, shell, type WebContents } from 'electron';

/** Where the window lives: a scheme of our own, so that 'self' means the lab and nothing else. */
export const SCHEME = 'archlab';
export const HOME = `${SCHEME}://lab/`;

/** In development the window comes from a local server. */
export const isOurs = (url: string, home: string): boolean => {
  const [given, own] = [URL.parse(url), URL.parse(home)];
  return given !== null && own !== null && given.protocol === own.protocol && given.host === own.host;
};

/** The only thing a page may ask of the browser: to put text on the clipboard. */
const GRANTED: ReadonlySet<string> = new Set(['clipboard-sanitized-write']);

export function hardenSession(session: Session): void {
  session.setPermissionRequestHandler((_contents, permission, decide) => decide(GRANTED.has(permission)));
  session.setPermissionCheckHandler((_contents, permission) => GRANTED.has(permission));
  session.setDevicePermissionHandler(() => false);
  // Files that the window makes (a CSV, a model) come as blobs; the system's save dialog asks where to.
  session.on('will-download', (event, item) => {
    if (!item.getURL().startsWith('blob:')) event.preventDefault();
  });
}

export function hardenContents(contents: WebContents, home: string): void {
  const stay = (event: { preventDefault(): void }, url: string) => {
    if (!isOurs(url, home)) event.preventDefault();
  };
  contents.on('will-navigate', (event) => stay(event, event.url));
  contents.on('will-frame-navigate', (event) => stay(event, event.url));
  contents.on('will-redirect', (event) => stay(event, event.url));
  contents.on('will-attach-webview', (event) => event.preventDefault());
  // A link to a paper opens in the browser; nothing opens here.
  contents.setWindowOpenHandler(({ url }) => {
    if (URL.parse(url)?.protocol === 'https:') void shell.openExternal(url);
    return { action: 'deny' };
  });
}

export const defaultSession = (): Session => sessions.defaultSession;
