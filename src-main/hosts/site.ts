// The window's files as a closed list: what a request names is looked up in it, and never becomes a path.
import { readdirSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';

export interface SiteFile {
  path: string;
  type: string;
  /** Its name holds a hash of its content, so it never changes. */
  lasting: boolean;
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
  '.txt': 'text/plain; charset=utf-8',
};

/** A build may replace the files while a host runs; a name that is missing makes it look again, at most this often. */
const LOOK_AGAIN_MS = 1000;

export class Site {
  #files = new Map<string, SiteFile>();
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly folder: string) {
    this.#look();
  }

  /** The file of a URL's path (`/assets/index-1a2b3c4d.js`; `/` is the page); undefined when there is none. */
  find(pathname: string): SiteFile | undefined {
    const name = pathname === '/' ? '/index.html' : pathname;
    const found = this.#files.get(name);
    if (found || performance.now() - this.#lookedAt < LOOK_AGAIN_MS) return found;
    this.#look();
    return this.#files.get(name);
  }

  #look(): void {
    this.#lookedAt = performance.now();
    this.#files = new Map();
    let entries: ReturnType<typeof list>;
    try {
      entries = list(this.folder);
    } catch {
      return;
    }
    for (const path of entries) {
      const name = `/${relative(this.folder, path).split(sep).join('/')}`;
      const type = TYPES[extname(path)];
      if (type) this.#files.set(name, { path, type, lasting: name.startsWith('/assets/') });
    }
  }
}

/** Regular files only: a link could lead anywhere. */
const list = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/** What the window may load and where it may connect: itself. Component styles are set from script, hence the inline ones. */
const contentPolicy = (connect: string): string =>
  [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    `connect-src 'self'${connect ? ` ${connect}` : ''}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "object-src 'none'",
  ].join('; ');

/** Headers of every answer that carries a file of the window. */
export const siteHeaders = (file: SiteFile, connect = ''): Record<string, string> => ({
  'Content-Type': file.type,
  'Content-Security-Policy': contentPolicy(connect),
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': file.lasting ? 'private, max-age=31536000, immutable' : 'no-store',
});
