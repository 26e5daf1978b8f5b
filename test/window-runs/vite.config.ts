// Serves or builds the window over a lab full of runs, to look at Runs and Compare without a main.
import { resolve } from 'node:path';
import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  plugins: [vue()],
  build: {
    outDir: resolve(import.meta.dirname, '../../out/window-runs-test'),
    emptyOutDir: true,
    chunkSizeWarningLimit: 3000,
  },
});
