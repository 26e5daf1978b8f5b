// Builds or serves the window over the fake main, to look at it without a lab.
import { resolve } from 'node:path';
import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  plugins: [vue()],
  build: {
    outDir: resolve(import.meta.dirname, '../../out/window-test'),
    emptyOutDir: true,
    chunkSizeWarningLimit: 3000,
  },
});
