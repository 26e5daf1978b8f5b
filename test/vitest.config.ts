// Unit tests and suites; the end-to-end tests have a configuration of their own (test/e2e/vitest.config.ts).
import { resolve } from 'node:path';
import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: resolve(import.meta.dirname, '..'),
  plugins: [vue()],
  // TF.js must come through Vite as ES modules, once: see electron.vite.config.ts.
  resolve: { mainFields: ['module', 'jsnext:main', 'main'] },
  ssr: { noExternal: [/@tensorflow\//], resolve: { mainFields: ['module', 'jsnext:main', 'main'] } },
  test: {
    include: [
      'src-main/**/*.test.ts',
      'src-renderer/**/*.test.ts',
      'kernels/**/*.test.ts',
      'test/{suites,house}/**/*.test.ts',
    ],
    environment: 'node',
    server: { deps: { inline: [/@tensorflow\//] } },
    pool: 'forks',
    maxWorkers: 2,
    // On one core beside other work, a GPU in software takes a minute for what is seconds on a quiet machine; and what comes in its own time comes late.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 20_000, interval: 10 } },
  },
});
