// npm start: prepares what is missing or stale, then opens the desktop app, or serves the same lab to a browser where no window can open.
// npm start -- --serve serves in any case; other arguments (--folder DIR, --port N) go to the host.
import { spawn } from 'node:child_process';
import { ensureElectron, whyNoWindow } from './electron.mjs';
import { at, ensureAll, env, run, runNode, say, typedIn, wait } from './ensure.mjs';

/** A window that closes sooner than this with an error has not opened. */
const OPENING_MS = 10_000;

run(async () => {
  const args = process.argv.slice(2);
  const forced = args.includes('--serve');
  const rest = args.filter((arg) => arg !== '--serve');
  await ensureAll();
  const why = forced ? undefined : await openWindow(rest);
  if (typeof why === 'number') return why;
  if (why) say(`The desktop window can't open here: ${why}. Serving the lab to a browser instead.`);
  return runNode(['--enable-source-maps', at('out', 'main', 'serve.js'), ...rest], { cwd: typedIn });
});

/** Shows the window until it is closed: the exit code, or a sentence saying why there is no window. */
async function openWindow(args) {
  const blocked = whyNoWindow();
  if (blocked) return blocked;
  const electron = ensureElectron();
  if (!('path' in electron)) return electron.why;
  const started = Date.now();
  const code = await wait(spawn(electron.path, [at(), ...args], { cwd: typedIn, env: env(), stdio: 'inherit' }));
  if (code !== 0 && code < 128 && Date.now() - started < OPENING_MS)
    return `Electron ended with code ${code} as it started`;
  return code;
}
