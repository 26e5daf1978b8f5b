// A lab of a test file's own, and a window on it, for all tests of the file.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';
import { launch } from './browser';
import { type ServedLab, serveLab, temporaryFolder } from './lab';
import { Window } from './window';

export interface Opened {
  readonly folder: string;
  /** Who serves the folder another time puts that lab here, to be stopped at the end. */
  lab: ServedLab;
  window: Window;
}

/** Opened before the first test of the file, closed and removed after the last. */
export function openLab(): Opened {
  const { folder, [Symbol.dispose]: removeFolder } = temporaryFolder();
  const opened = { folder } as Opened;
  let browser: Browser | undefined;
  beforeAll(async () => {
    opened.lab = await serveLab(folder);
    browser = await launch();
    opened.window = await Window.open(browser, opened.lab.address);
  });
  afterAll(async () => {
    await browser?.close();
    await opened.lab?.stop();
    removeFolder();
  });
  return opened;
}
