// Brings the checkout into a state that can run: packages installed, native kernels compiled, sources built.
// Runs on any Node >= 20 with builtins alone. Says what it does on stderr, so that a command's own output stays clean.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const at = (...parts) => join(root, ...parts);
/** Where the user typed the command: what relative paths in it start from. */
export const typedIn = process.env.INIT_CWD ?? process.cwd();
export const windows = process.platform === 'win32';

/** Node 24 out of node_modules; the same for scripts, tests and hosts, whatever the machine has. */
export const node = at('node_modules', 'node', 'bin', windows ? 'node.exe' : 'node');
const stampFile = at('out', 'stamp.json');
const lockFile = at('out', 'ensure.lock');

/** Environment in which the project's own Node and binaries come first. */
export const env = (extra = {}) => ({
  ...process.env,
  PATH: [at('node_modules', '.bin'), dirname(node), process.env.PATH].join(delimiter),
  ...extra,
});

export const say = (text) => process.stderr.write(`${text}\n`);

/** A failure that is told in words, without a stack. */
export class Failure extends Error {}

/** Runs `main`; a `Failure` becomes a sentence and exit code 1. */
export async function run(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    say(error instanceof Failure ? error.message : (error?.stack ?? String(error)));
    process.exitCode = 1;
  }
}

/** Runs the project's Node with `args` and shares this terminal; answers with the exit code. */
export function runNode(args, { cwd = root, extra = {}, stdio = 'inherit' } = {}) {
  return wait(spawn(node, args, { cwd, env: env(extra), stdio }));
}

/**
 * Waits for a child. Ctrl-C reaches it by itself as one of the terminal's processes; SIGTERM is passed on.
 * npm does not pass its own end on, so where npm started us and is gone, the child is ended too.
 */
export function wait(child) {
  const hold = () => {};
  const pass = () => child.kill('SIGTERM');
  const parent = process.ppid;
  const look = () => {
    if (process.ppid === parent) return;
    clearInterval(watch); // once: a second signal would cut the child's last work short
    pass();
  };
  const watch = process.env.npm_lifecycle_event && setInterval(look, 500);
  process.on('SIGINT', hold).on('SIGTERM', pass);
  return new Promise((done, failed) => {
    const leave = () => {
      clearInterval(watch);
      process.off('SIGINT', hold).off('SIGTERM', pass);
    };
    child.on('error', (error) => {
      leave();
      failed(error);
    });
    child.on('exit', (code, signal) => {
      leave();
      done(code ?? (signal === 'SIGINT' ? 130 : signal === 'SIGTERM' ? 143 : 1));
    });
  });
}

/** Runs a step silently and answers with whether it went well and what it printed. */
function quietly(command, args, { shell = false } = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: root, env: env(), shell, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    child.on('error', (error) => done({ ok: false, output: error.message }));
    child.on('close', (code) => done({ ok: code === 0, output: output.trim() }));
  });
}

/** The npm that started us, else the one on the PATH. */
function npm(args) {
  const self = process.env.npm_execpath;
  return self && /\.c?js$/.test(self)
    ? quietly(existsSync(process.execPath) ? process.execPath : 'node', [self, ...args])
    : quietly('npm', args, { shell: windows });
}

/** What the lock file wants and node_modules lacks, compared through npm's own record of what it installed. */
function packagesMissing() {
  const installed = at('node_modules', '.package-lock.json');
  if (!existsSync(installed)) return true;
  const have = JSON.parse(readFileSync(installed, 'utf8')).packages;
  const want = JSON.parse(readFileSync(at('package-lock.json'), 'utf8')).packages;
  return Object.entries(want).some(
    ([path, { version, optional, devOptional }]) =>
      path !== '' && have[path]?.version !== version && !(have[path] === undefined && (optional || devOptional)),
  );
}

/**
 * Installs packages where node_modules does not hold what package-lock.json wants, and Node 24 with them.
 * Install scripts are left out but for the one that lays Node 24 in place: no other package needs one, and npm 10 and 11 then do the same.
 */
export async function ensureInstalled() {
  if (!packagesMissing() && existsSync(node)) return;
  await alone(async () => {
    if (packagesMissing()) await install();
    if (!existsSync(node)) await placeNode();
  });
}

async function install() {
  const started = performance.now();
  say('Installing packages (about a minute, 1.2 GB) ...');
  const command = existsSync(at('node_modules')) ? ['install', '--no-save'] : ['ci'];
  const { ok, output } = await npm([...command, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']);
  if (!ok)
    throw new Failure(
      `The packages could not be installed; npm said:\n${output}\nIs the npm registry within reach? Then try again.`,
    );
  say(`Installed in ${seconds(started)}.`);
}

async function placeNode() {
  const { output } = await npm(['rebuild', 'node', '--ignore-scripts=false']);
  const { ok, output: version } = existsSync(node) ? await quietly(node, ['--version']) : { ok: false, output };
  if (!ok)
    throw new Failure(
      `Node 24 (npm package "node") could not be set up for ${process.platform}-${process.arch}: ${node} does not run.\n${version}\nTry: npm rebuild node --ignore-scripts=false`,
    );
}

/** Compiles the native kernels where they are missing or stale; without a compiler that works, the lab runs on slower paths and says so. */
async function compileNative() {
  const native = await import('./native.mjs');
  if (native.isFresh()) return;
  try {
    await native.build({ say });
  } catch (error) {
    say(`The native kernels do not compile here, so the cpu device is slow; the compiler said:\n${error.message}`);
  }
}

const built = [
  'main/index.js',
  'main/serve.js',
  'main/cli.js',
  'main/worker.js',
  'preload/preload.cjs',
  'renderer/index.html',
];

const isBuilt = () => readStamp() === sourceHash() && built.every((file) => existsSync(at('out', file)));

/** Builds main, preload and window where their sources differ from what was built last. */
async function buildLab() {
  if (isBuilt()) return;
  const started = performance.now();
  const hash = sourceHash();
  say('Building the lab ...');
  rmSync(stampFile, { force: true });
  const tool = at('node_modules', 'electron-vite', 'bin', 'electron-vite.js');
  const { ok, output } = await quietly(node, [tool, 'build', '--logLevel', 'warn']);
  if (!ok) throw new Failure(`The build failed:\n${output}`);
  const missing = built.filter((file) => !existsSync(at('out', file)));
  if (missing.length) throw new Failure(`The build left out ${missing.join(', ')}:\n${output}`);
  writeFileSync(stampFile, JSON.stringify({ hash }));
  say(`Built in ${seconds(started)}.`);
}

/** The native kernels alone, for those who build the rest themselves. */
export const ensureNative = () => alone(compileNative);

/** All of it: packages first, then kernels and sources side by side. */
export async function ensureAll() {
  await ensureInstalled();
  await alone(() => Promise.all([compileNative(), buildLab()]));
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, 'utf8')).hash;
  } catch {
    return undefined; // no stamp, or a torn one: build again
  }
}

/** Hash over everything that goes into out/: sources without tests, golden cases, migrations, the build's configuration, the packages. */
function sourceHash() {
  const hash = createHash('sha256');
  for (const file of ['electron.vite.config.ts', 'tsconfig.json', 'package-lock.json', 'package.json'])
    hash.update(readFileSync(at(file)));
  const ofKernels = /\.(ts|wgsl)$/;
  for (const [folder, wanted] of [['src-main'], ['src-renderer'], ['db'], ['kernels', ofKernels], ['test/golden']])
    for (const file of files(at(folder)))
      if ((wanted ?? /./).test(file) && !/\.test\.ts$/.test(file))
        hash.update(relative(root, file)).update(readFileSync(file));
  return hash.digest('hex');
}

function* files(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else if (entry.isFile()) yield path;
  }
}

const seconds = (started) => `${((performance.now() - started) / 1000).toFixed(1)} s`;

/** Runs `work` while no other start of this checkout installs or builds; a lock left by a dead process is taken over. */
async function alone(work) {
  mkdirSync(at('out'), { recursive: true });
  for (let waited = 0; !claim(); waited++) {
    if (waited === 10) say('Another start of this checkout is installing or building; waiting for it ...');
    await sleep(100);
  }
  try {
    return await work();
  } finally {
    rmSync(lockFile, { force: true });
  }
}

function claim() {
  try {
    writeFileSync(lockFile, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (isStale(lockFile)) takeOver();
    return false;
  }
}

/** Moves a stale lock away; if another process has renewed it meanwhile, puts it back. */
function takeOver() {
  const moved = `${lockFile}.${process.pid}`;
  try {
    renameSync(lockFile, moved);
  } catch (error) {
    if (error.code === 'ENOENT') return; // another process was first
    throw error;
  }
  if (isStale(moved)) rmSync(moved);
  else renameSync(moved, lockFile);
}

function isStale(file) {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    // An empty lock belongs to a process between making and filling it, unless it stays empty.
    if (!pid) return Date.now() - statSync(file).mtimeMs > 5000;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}
