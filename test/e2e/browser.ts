// Finds a browser for the tests: the Chromium inside @sparticuz/chromium, else one that the system has. Unpacked once for all files.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { inject } from 'vitest';
import type { TestProject } from 'vitest/node';
import { ensureAll } from '../../build/ensure.mjs';

/** What it takes to start it; undefined where the machine has none. */
interface Found {
  executablePath: string;
  env: Record<string, string>;
}
declare module 'vitest' {
  interface ProvidedContext {
    browser: Found | undefined;
  }
}

const SYSTEM = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe',
];

/** Builds what is stale and unpacks the browser, once before all files; the answer removes it again. */
export default async function setup({ provide }: TestProject): Promise<() => void> {
  await ensureAll();
  const folder = mkdtempSync(join(tmpdir(), 'archlab-browser-'));
  provide('browser', (await bundled(folder)) ?? system());
  return () => rmSync(folder, { recursive: true, force: true });
}

/** Chromium out of the npm package, with the libraries and fonts that it brings, unpacked into `folder`. */
async function bundled(folder: string): Promise<Found | undefined> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const { TMPDIR } = process.env;
  // It unpacks into the system's temporary folder, and its system libraries only where it takes itself to be in a cloud function.
  process.env.TMPDIR = folder;
  process.env.AWS_LAMBDA_JS_RUNTIME = 'nodejs22.x';
  try {
    const { default: sparticuz } = await import('@sparticuz/chromium');
    const executablePath = await sparticuz.executablePath();
    const libraries = readdirSync(folder).filter((name) => existsSync(join(folder, name, 'lib')));
    return {
      executablePath,
      env: {
        LD_LIBRARY_PATH: libraries.map((name) => join(folder, name, 'lib')).join(':'),
        FONTCONFIG_PATH: join(folder, 'fonts'),
      },
    };
  } finally {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
    delete process.env.AWS_LAMBDA_JS_RUNTIME;
  }
}

function system(): Found | undefined {
  const executablePath = SYSTEM.find((path) => existsSync(path));
  return executablePath ? { executablePath, env: {} } : undefined;
}

/** @throws Error in words where there is no browser to test with. */
export function launch(): Promise<Browser> {
  const found = inject('browser');
  if (!found) throw new Error('There is no browser to test with: install Chromium or Chrome, and run the tests again.');
  // Root has no user namespaces of its own to build a sandbox from; the pages are ours.
  return chromium.launch({
    executablePath: found.executablePath,
    env: { ...process.env, ...found.env } as Record<string, string>,
    args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none'],
  });
}
