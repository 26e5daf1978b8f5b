// Compiles kernels/ into one addon per instruction set: out/native/lab-<isa>.node. Only what changed is compiled again.
// Without a compiler it says so, leaves out/native/absent.json, and the lab runs on JavaScript.
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const kernels = join(root, 'kernels');
const out = join(root, 'out', 'native');

const avx2 = ['-mavx2', '-mfma', '-mf16c'];
const avx512 = ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', ...avx2, '-mprefer-vector-width=512'];
export const gnu = {
  portable: [],
  avx2,
  avx512,
  avx512bf16: [...avx512, '-mavx512bf16'],
  neon: [],
};
/** NaN and infinity must survive, so no -ffast-math. */
export const MATHS = ['-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast'];
const microsoft = { portable: [], avx2: ['/arch:AVX2'], avx512: ['/arch:AVX512'], neon: [] };

/** With these flags the code for AVX-512-BF16 can ask at run time for the tile unit (AMX), which compilers before 2021 don't know. */
export const TILES = { of: 'avx512bf16', flags: ['-mamx-tile', '-mamx-bf16'] };

/** Instruction sets that a build for this kind of processor contains. */
const isasFor = (arch) =>
  arch === 'x64'
    ? ['portable', 'avx2', 'avx512', ...(process.platform === 'win32' ? [] : ['avx512bf16'])]
    : arch === 'arm64'
      ? ['neon']
      : ['portable'];
/** The lab runs without them, and compilers older than 2020 don't know them. */
const OPTIONAL = ['avx512bf16'];

const sha = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex').slice(0, 16);
};

/** Files of kernels/<folder>/ with one of the endings, in order of name. */
function sources(...endings) {
  const found = [];
  for (const entry of readdirSync(kernels, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    for (const file of readdirSync(join(kernels, entry.name))) {
      if (endings.some((ending) => file.endsWith(ending))) found.push(join(kernels, entry.name, file));
    }
  }
  return found.sort();
}

/** The environment in which Microsoft's compiler works, from its own setup script; undefined where there is none. */
function microsoftEnvironment() {
  const programs = process.env['ProgramFiles(x86)'] ?? 'C:\\Program Files (x86)';
  const vswhere = join(programs, 'Microsoft Visual Studio', 'Installer', 'vswhere.exe');
  if (!existsSync(vswhere)) return undefined;
  const where = execFileSync(vswhere, ['-latest', '-products', '*', '-property', 'installationPath'], {
    encoding: 'utf8',
  }).trim();
  if (!where) return undefined;
  const script = join(where, 'VC', 'Auxiliary', 'Build', process.arch === 'arm64' ? 'vcvarsarm64.bat' : 'vcvars64.bat');
  const text = execFileSync('cmd.exe', ['/d', '/s', '/c', `""${script}" >nul && set"`], {
    encoding: 'utf8',
    windowsVerbatimArguments: true,
  });
  return Object.fromEntries(
    text
      .split(/\r?\n/)
      .filter((line) => line.includes('='))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

/** The C++ compiler: $CXX, or the first of the usual names that answers. */
function findCompiler() {
  const windows = process.platform === 'win32';
  const names = process.env.CXX
    ? [process.env.CXX]
    : windows
      ? ['clang-cl', 'cl']
      : process.platform === 'darwin'
        ? ['clang++', 'c++']
        : ['g++', 'clang++', 'c++'];
  const tried = [];
  for (const name of names) {
    for (const env of windows && !process.env.CXX ? [process.env, microsoftEnvironment()] : [process.env]) {
      if (!env) continue;
      try {
        const style = /(^|[\\/])(clang-)?cl(\.exe)?$/.test(name) ? 'microsoft' : 'gnu';
        const asking = style === 'gnu' || name.includes('clang') ? ['--version'] : [];
        const version = execFileSync(name, asking, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
        return { name, env, style, version: version.trim() || name };
      } catch {
        if (!tried.includes(name)) tried.push(name);
      }
    }
  }
  return { tried };
}

function flagsFor(compiler, isa, include) {
  if (compiler.style === 'microsoft') {
    return [
      '/nologo',
      '/std:c++17',
      '/O2',
      '/EHsc',
      '/MT',
      '/fp:precise',
      '/W3',
      '/utf-8',
      ...microsoft[isa],
      `/DLAB_ISA="${isa}"`,
      `/I${include}`,
    ];
  }
  // GCC takes the "undefined" vectors of its own headers for a mistake of ours.
  const gcc = compiler.version.includes('clang')
    ? []
    : ['-fno-gnu-unique', '-Wno-uninitialized', '-Wno-maybe-uninitialized'];
  const position = process.platform === 'win32' ? [] : ['-fPIC'];
  const quiet = ['-Wall', '-Wextra', '-Wno-unused-function'];
  const lean = ['-fvisibility=hidden', '-fvisibility-inlines-hidden', ...gcc];
  return [
    '-std=c++17',
    '-O3',
    ...position,
    ...lean,
    ...MATHS,
    ...quiet,
    ...gnu[isa],
    `-DLAB_ISA="${isa}"`,
    `-I${include}`,
  ];
}

function linkArguments(compiler, target, objects) {
  if (compiler.style === 'microsoft') return ['/nologo', '/LD', ...objects, `/Fe:${target}`, '/link', '/NOIMPLIB'];
  if (process.platform === 'darwin') return ['-bundle', '-undefined', 'dynamic_lookup', '-o', target, ...objects];
  if (process.platform === 'win32') return ['-shared', '-static', '-o', target, ...objects];
  // The library stays mapped to the end: its sleeping threads must not lose their code.
  return ['-shared', '-pthread', '-Wl,-z,nodelete', '-Wl,-s', '-o', target, ...objects];
}

const run = (compiler, args) =>
  new Promise((done, fail) => {
    execFile(compiler.name, args, { env: compiler.env, maxBuffer: 1 << 26 }, (error, stdout, stderr) =>
      error
        ? fail(new Error(`${stderr || ''}${compiler.style === 'microsoft' ? stdout : ''}`.trim() || error.message))
        : done(stderr),
    );
  });

/** True if the compiler takes the flags. */
function knows(compiler, flags) {
  if (compiler.style === 'microsoft') return true;
  try {
    execFileSync(compiler.name, [...flags, '-x', 'c++', '-fsyntax-only', '-'], {
      env: compiler.env,
      input: '',
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    return true;
  } catch {
    return false;
  }
}

/** Runs the jobs, a few at a time. */
async function inParallel(jobs) {
  const queue = [...jobs];
  const errors = [];
  const worker = async () => {
    for (let job = queue.shift(); job; job = queue.shift()) await job().catch((error) => errors.push(error));
  };
  await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, worker));
  return errors;
}

const write = (file, value) => {
  writeFileSync(`${file}.new`, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(`${file}.new`, file);
};

/** A hash of all kernel sources: the version that runs record. */
const sourceVersion = () =>
  sha(...sources('.cc', '.h').flatMap((file) => [file.slice(root.length).replaceAll('\\', '/'), readFileSync(file)]));
/** A hash of what else decides the result. */
const recipe = () => sha(process.platform, process.arch, readFileSync(fileURLToPath(import.meta.url)));

/** True if the addons are there and belong to the sources as they are. */
export function isFresh() {
  try {
    const made = JSON.parse(readFileSync(join(out, 'version.json'), 'utf8'));
    const whole = isasFor(process.arch).every(
      (isa) => made.unknown?.includes(isa) || (made.isas.includes(isa) && existsSync(join(out, `lab-${isa}.node`))),
    );
    return whole && made.version === sourceVersion() && made.recipe === recipe();
  } catch {
    return false;
  }
}

/**
 * Builds what is stale. `isas`: which instruction sets (default: all of this kind of processor); `say`: takes a line for the user.
 * Gives {built: string[], absent?: string}; rejects with the compiler's own words where a source is wrong.
 */
export async function build({ isas = isasFor(process.arch), say = console.log } = {}) {
  mkdirSync(join(out, 'objects'), { recursive: true });
  const absent = join(out, 'absent.json');
  const version = sourceVersion();
  const compiler = findCompiler();
  if (compiler.tried) {
    const why = `No C++ compiler (tried ${compiler.tried.join(', ')}), so the cpu device runs on JavaScript, tens of times slower; install one and run \`npm run native\`.`;
    write(absent, { why });
    say(why);
    return { built: [], absent: why };
  }
  let include;
  try {
    include = createRequire(join(root, 'package.json'))('node-api-headers').include_dir;
  } catch {
    const why =
      'The package node-api-headers is not installed, so the native kernels could not be built; run `npm install` and `npm run native`.';
    write(absent, { why });
    say(why);
    return { built: [], absent: why };
  }
  const unknown = isas.filter((isa) => OPTIONAL.includes(isa) && !knows(compiler, gnu[isa]));
  if (unknown.length) {
    isas = isas.filter((isa) => !unknown.includes(isa));
    say(`${compiler.version.split('\n')[0]} does not know ${unknown.join(', ')}; those kernels are left out.`);
  }
  const headers = sha(...sources('.h').map((file) => readFileSync(file)));
  const keep = new Set();
  const jobs = [];
  const links = [];
  for (const isa of isas) {
    const flags = flagsFor(compiler, isa, include);
    if (isa === TILES.of && knows(compiler, TILES.flags)) flags.push(...TILES.flags);
    const objects = sources('.cc').map((file) => {
      const key = sha(readFileSync(file), headers, flags.join(' '), compiler.version);
      const name = `${isa}-${basename(dirname(file))}-${basename(file, '.cc')}`;
      const object = join(out, 'objects', `${name}-${key}${compiler.style === 'microsoft' ? '.obj' : '.o'}`);
      keep.add(basename(object));
      if (!existsSync(object)) {
        jobs.push(async () => {
          const target = `${object}.${process.pid}.new`;
          const to = compiler.style === 'microsoft' ? ['/c', file, `/Fo${target}`] : ['-c', file, '-o', target];
          const warnings = await run(compiler, [...flags, ...to]);
          if (warnings) say(warnings.trim());
          renameSync(target, object);
        });
      }
      return object;
    });
    const target = join(out, `lab-${isa}.node`);
    const stamp = join(out, 'objects', `${isa}.linked`);
    const wanted = sha(...objects.map((object) => basename(object)));
    keep.add(basename(stamp));
    if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) continue;
    links.push(async () => {
      // A new file under the old name: a process that has the old one loaded keeps it.
      const made = join(out, `lab-${isa}.${process.pid}.new`);
      await run(compiler, linkArguments(compiler, made, objects));
      if (process.platform === 'win32') rmSync(target, { force: true });
      renameSync(made, target);
      writeFileSync(stamp, wanted);
    });
  }
  const began = Date.now();
  if (jobs.length) say(`Compiling ${jobs.length} kernel files with ${compiler.version.split('\n')[0]} ...`);
  const errors = await inParallel(jobs);
  if (!errors.length) errors.push(...(await inParallel(links)));
  if (errors.length) throw new Error(errors.map((error) => error.message).join('\n\n'));
  rmSync(absent, { force: true });
  write(join(out, 'version.json'), {
    version,
    recipe: recipe(),
    isas,
    unknown,
    compiler: compiler.version.split('\n')[0],
  });
  for (const file of readdirSync(join(out, 'objects'))) {
    const other = !isas.some((isa) => file.startsWith(`${isa}-`) || file === `${isa}.linked`);
    if (!keep.has(file) && !other && !file.endsWith('.new')) rmSync(join(out, 'objects', file), { force: true });
  }
  if (links.length)
    say(`Native kernels ${version} are built for ${isas.join(', ')} in ${((Date.now() - began) / 1000).toFixed(1)} s.`);
  return { built: links.length ? isas : [] };
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const only = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
  try {
    await build(only.length ? { isas: only } : {});
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
