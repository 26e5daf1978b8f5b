// The desktop window itself, wherever an Electron binary and a display are present.
import { _electron } from 'playwright-core';
import { expect, it } from 'vitest';
import { electronBinary } from '../../build/electron.mjs';
import { root, temporaryFolder } from './lab';

const binary = electronBinary();
const display = process.platform !== 'linux' || process.env.DISPLAY || process.env.WAYLAND_DISPLAY;
const skipped = !binary ? 'no Electron binary' : !display ? 'no display' : '';

it.skipIf(skipped)(
  `opens the desktop window, sandboxed and without Node${skipped && ` (skipped: ${skipped})`}`,
  async () => {
    using temporary = temporaryFolder();
    // Chromium's own sandbox does not start for root; what is tested here holds without it.
    const asRoot = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    const app = await _electron.launch({
      executablePath: binary,
      args: [...asRoot, root, '--folder', temporary.folder],
    });
    try {
      const page = await app.firstWindow();
      await page.getByTestId('page-build').waitFor();
      expect(
        await page.evaluate(() => [
          typeof (globalThis as { require?: unknown }).require,
          typeof (globalThis as { process?: unknown }).process,
        ]),
      ).toEqual(['undefined', 'undefined']);
      await page.getByTestId('nav-device').click();
      await expect.poll(() => page.getByTestId('app-info').textContent()).toContain(temporary.folder);
      const [before] = await Promise.all([page.url(), page.evaluate(() => window.open('https://example.org/'))]);
      expect(app.windows()).toHaveLength(1);
      expect(page.url()).toBe(before);
    } finally {
      await app.close();
    }
  },
);
