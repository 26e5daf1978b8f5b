// End-to-end tests: the built lab, driven through a real browser. One file after the other, as each trains models.
import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: resolve(import.meta.dirname, '../..'),
  test: {
    include: ['test/e2e/**/*.test.ts'],
    environment: 'node',
    globalSetup: 'test/e2e/browser.ts',
    fileParallelism: false,
    // A step of the journey may wait for a training run on a machine that is busy with other things.
    testTimeout: 300_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000, interval: 100 } },
  },
});
