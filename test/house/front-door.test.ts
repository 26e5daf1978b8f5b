// The front door's installing step, with npm replaced by a script that notes what it is asked: once, in order, and never twice at a time.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { root } from './source';

const NPM = `
const { appendFileSync, copyFileSync, mkdirSync, symlinkSync } = require('node:fs');
const [command] = process.argv.slice(2);
appendFileSync('calls.log', process.argv.slice(2).join(' ') + '\\n');
setTimeout(() => {
  if (process.env.NPM_FAILS) { console.error('no route to the registry'); process.exit(1); }
  if (command === 'rebuild') { mkdirSync('node_modules/node/bin', { recursive: true }); symlinkSync(process.execPath, 'node_modules/node/bin/node'); }
  else { mkdirSync('node_modules', { recursive: true }); copyFileSync('package-lock.json', 'node_modules/.package-lock.json'); }
}, 200);
`;

let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'archlab-door-')));
  cpSync(join(root, 'build', 'ensure.mjs'), join(folder, 'build', 'ensure.mjs'));
  writeFileSync(join(folder, 'npm.cjs'), NPM);
  lock({ 'node_modules/a': { version: '1.0.0' } });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const lock = (packages: Record<string, object>) =>
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages: { '': {}, ...packages } }));
const calls = () => {
  const file = join(folder, 'calls.log');
  return existsSync(file)
    ? readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[0])
    : [];
};
function install(env: NodeJS.ProcessEnv = {}): Promise<{ code: number | null; said: string }> {
  const script = "import { ensureInstalled, run } from './build/ensure.mjs'; run(ensureInstalled);";
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: folder,
    env: { ...process.env, npm_execpath: join(folder, 'npm.cjs'), ...env },
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  return new Promise((done) => child.on('close', (code) => done({ code, said })));
}

it.skipIf(process.platform === 'win32')(
  'installs once however many start at the same time, and no more once it is done',
  async () => {
    const starts = await Promise.all([install(), install(), install()]);
    expect(starts.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(calls()).toEqual(['ci', 'rebuild']);
    await install();
    expect(calls()).toHaveLength(2);
    expect(existsSync(join(folder, 'out', 'ensure.lock'))).toBe(false);
  },
);

it.skipIf(process.platform === 'win32')(
  "installs what the lock file has that is not there, other platforms' packages aside",
  async () => {
    await install();
    lock({ 'node_modules/a': { version: '1.0.0' }, 'node_modules/mac-only': { version: '1.0.0', optional: true } });
    await install();
    expect(calls()).toEqual(['ci', 'rebuild']);
    lock({ 'node_modules/a': { version: '1.0.1' } });
    await install();
    expect(calls()).toEqual(['ci', 'rebuild', 'install']);
  },
);

it('takes over the lock of a process that died, and says what npm said when it fails', async () => {
  mkdirSync(join(folder, 'out'));
  writeFileSync(join(folder, 'out', 'ensure.lock'), '999999999');
  const { code, said } = await install({ NPM_FAILS: '1' });
  expect(code).toBe(1);
  expect(said).toContain('no route to the registry');
  expect(said).toContain('Is the npm registry within reach?');
});
