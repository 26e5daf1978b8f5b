// npm run check: types, formatting and lint, and the house rules. `checks` is also what npm test runs first.
import { spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { at, ensureInstalled, env, node, root, run, runNode, say } from './ensure.mjs';

/** Each check as the script of a package and its arguments. */
export const checks = [
  { name: 'types', args: [at('node_modules', 'vue-tsc', 'bin', 'vue-tsc.js'), '--noEmit', '-p', 'tsconfig.json'] },
  {
    name: 'format and lint',
    args: [at('node_modules', '@biomejs', 'biome', 'bin', 'biome'), 'check', '--error-on-warnings', '.'],
  },
];

/** Runs one check, its output held back until it is done: whether it passed, what it printed, how long it took. */
export function check({ name, args }) {
  const started = performance.now();
  return new Promise((done, failed) => {
    const child = spawn(node, args, { cwd: root, env: env({ FORCE_COLOR: process.stdout.isTTY ? '1' : '0' }) });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    child.on('error', failed);
    child.on('close', (code) => done({ name, ok: code === 0, output, seconds: (performance.now() - started) / 1000 }));
  });
}

/** Runs all checks side by side and prints how each went. */
export async function checkAll() {
  const results = await Promise.all(checks.map(check));
  for (const { name, ok, output, seconds } of results) {
    if (!ok) process.stdout.write(output);
    say(`${ok ? 'ok    ' : 'FAILED'} ${name} (${seconds.toFixed(1)} s)`);
  }
  return results;
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  run(async () => {
    await ensureInstalled();
    const results = await checkAll();
    const house = await runNode([
      at('node_modules', 'vitest', 'vitest.mjs'),
      'run',
      '-c',
      'test/vitest.config.ts',
      'test/house',
    ]);
    return results.every(({ ok }) => ok) ? house : 1;
  });
