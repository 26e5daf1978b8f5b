// npm run make: packs the desktop app for this platform into dist/. Other arguments go to electron-builder.
import { dirname } from 'node:path';
import { ensureElectron } from './electron.mjs';
import { at, ensureAll, Failure, run, runNode } from './ensure.mjs';

run(async () => {
  await ensureAll();
  const electron = ensureElectron();
  if (!('path' in electron))
    throw new Failure(`The app can't be packed without Electron's binary, and ${electron.why}.`);
  const args = process.argv.slice(2);
  // The binary at hand is this platform's own; for another one electron-builder fetches it.
  const own = args.length === 0 ? [`-c.electronDist=${dirname(electron.path)}`] : [];
  return runNode([
    at('node_modules', 'electron-builder', 'cli.js'),
    '--config',
    at('build', 'builder.json'),
    '--publish',
    'never',
    ...own,
    ...args,
  ]);
});
