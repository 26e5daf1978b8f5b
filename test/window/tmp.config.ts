// Builds or serves the window over the fake main, to look at it without a lab.
import { resolve } from 'node:path';
import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  plugins: [
    vue(),
    {
      name: 'x',
      resolveId(id: string) {
        if (/pages\/(runs|compare)\//.test(id)) return '\0none';
      },
      load(id: string) {
        if (id === '\0none') return 'export default { render: () => null }';
      },
    },
  ],
  build: {
    outDir: resolve(import.meta.dirname, '../../out/window-test'),
    emptyOutDir: true,
    chunkSizeWarningLimit: 3000,
  },
});
