// One build for all hosts: main (Electron), serve, cli and the worker share chunks; preload and the window stand apart.
import { cpSync } from 'node:fs';
import { resolve } from 'node:path';
import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'electron-vite';

// TF.js is bundled from its ES modules: its CommonJS build would bring a second op registry.
const bundled = ['@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu', '@tensorflow/tfjs-backend-webgpu'];

/** The golden cases go with the lab, so that a person can compare its blocks with the published code on their own device. */
const golden = {
  name: 'golden-cases',
  writeBundle: () => cpSync(resolve('test/golden'), resolve('out/main/golden'), { recursive: true }),
};

/** KaTeX names each font in three formats; Chromium reads the first. */
const oneFormat = {
  name: 'one-font-format',
  enforce: 'pre' as const,
  transform: (code: string, id: string) =>
    /katex[^/]*\.css$/.test(id) ? code.replaceAll(/,url\([^)]*\.(?:woff|ttf)\) format\("[^"]*"\)/g, '') : undefined,
};

export default defineConfig({
  main: {
    plugins: [golden],
    resolve: { mainFields: ['module', 'jsnext:main', 'main'] },
    build: {
      externalizeDeps: { exclude: bundled },
      sourcemap: true,
      rollupOptions: {
        input: {
          index: resolve('src-main/index.ts'),
          serve: resolve('src-main/hosts/serve/index.ts'),
          cli: resolve('src-main/hosts/cli/index.ts'),
          worker: resolve('src-main/train/worker.ts'),
          probe: resolve('src-main/rpc/probe.ts'),
          generator: resolve('src-main/rpc/generator.ts'),
        },
        output: { format: 'es', entryFileNames: '[name].js', chunkFileNames: 'chunks/[name]-[hash].js' },
      },
    },
  },
  preload: {
    build: {
      rollupOptions: {
        input: { preload: resolve('src-main/preload.ts') },
        // A sandboxed preload must be CommonJS.
        output: { format: 'cjs', entryFileNames: '[name].cjs' },
      },
    },
  },
  renderer: {
    root: 'src-renderer',
    build: {
      rollupOptions: { input: resolve('src-renderer/index.html') },
      chunkSizeWarningLimit: 3000,
      // The window's policy takes fonts from its own files alone.
      assetsInlineLimit: (file) => (file.endsWith('.woff2') ? false : undefined),
    },
    plugins: [oneFormat, vue()],
  },
});
