// A page on the served lab that notes every console error, and the moves that tests share.
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { root } from './lab';

/** Screenshots go into the docs when they are asked for; a plain test run leaves the tree as it was. */
const pictures = process.env.ARCHLAB_SCREENSHOTS
  ? join(root, 'docs', 'screenshots')
  : mkdtempSync(join(tmpdir(), 'archlab-screenshots-'));
mkdirSync(pictures, { recursive: true });

export class Window {
  /** What went wrong in the page: console errors and uncaught exceptions. */
  readonly errors: string[] = [];

  private constructor(readonly page: Page) {
    page.on('console', (message) => {
      if (message.type() === 'error') this.errors.push(message.text());
    });
    page.on('pageerror', (error) => this.errors.push(String(error)));
  }

  static async open(browser: Browser, address: string): Promise<Window> {
    const window = new Window(await browser.newPage({ viewport: { width: 1280, height: 800 }, locale: 'en-GB' }));
    await window.page.goto(address);
    await window.at('page-build').waitFor();
    // The palette fills once main has answered; keys pressed before that find no blocks.
    await window.at('palette-mamba2').waitFor();
    return window;
  }

  at = (testid: string) => this.page.getByTestId(testid);

  go(page: 'build' | 'runs' | 'compare' | 'generate' | 'device'): Promise<void> {
    return this.at(`nav-${page}`).click();
  }

  /** Types a number into a field and leaves it. */
  async set(testid: string, value: number | string): Promise<void> {
    const field = this.at(testid).locator('input');
    await field.fill(String(value));
    await field.blur();
  }

  /** Drags a block from the palette to a gap of the stack. */
  drag(block: string, gap: string): Promise<void> {
    return this.at(`palette-${block}`).dragTo(this.at(`gap-${gap}`));
  }

  /** Blocks of the stack from top to bottom, by the titles on their cards. */
  titles(): Promise<string[]> {
    return this.page.locator('[role="treeitem"] .title').allTextContents();
  }

  async picture(name: string): Promise<void> {
    // Moves the pointer off the charts, so that no crosshair is in the picture.
    await this.page.mouse.move(0, 0);
    await this.page.screenshot({ path: join(pictures, `${name}.png`), animations: 'disabled' });
  }
}
