// npm run dev: the lab with hot reload of the window, and a restart of main whenever its sources change.
// In Electron where its window can open, else served to a browser; arguments (--folder DIR) go to the lab.
import { ensureElectron, whyNoWindow } from './electron.mjs';
import { at, ensureInstalled, ensureNative, run, runNode, say } from './ensure.mjs';

run(async () => {
  const args = process.argv.slice(2);
  await ensureInstalled();
  await ensureNative();
  const why = args.includes('--serve') ? '--serve was given' : (whyNoWindow() ?? ensureElectron().why);
  if (!why)
    return runNode([at('node_modules', 'electron-vite', 'bin', 'electron-vite.js'), 'dev', '--watch', '--', ...args]);
  say(`Serving to a browser: ${why}.`);
  return runNode([at('build', 'dev-serve.mjs'), ...args.filter((arg) => arg !== '--serve')]);
});
