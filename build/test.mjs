// npm test: everything, from types to a real browser. npm test -- PATH ... runs the tests below these paths only.
// The last line is `N passed, N failed, N skipped` over all of them; the exit code is 1 if any failed.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { checkAll } from './check.mjs';
import { at, ensureAll, root, run, runNode, say, typedIn } from './ensure.mjs';

const suites = [
  { name: 'unit tests, suites, kernels', config: 'test/vitest.config.ts' },
  { name: 'end to end', config: 'test/e2e/vitest.config.ts', folder: 'test/e2e' },
];

run(async () => {
  const paths = process.argv.slice(2).map(fromRoot);
  const stages = [];
  const total = { passed: 0, failed: 0, skipped: 0 };
  const stage = async (name, work) => {
    say(`\n== ${name}`);
    const started = performance.now();
    const counts = await work();
    for (const key of Object.keys(total)) total[key] += counts[key] ?? 0;
    stages.push({ name, seconds: (performance.now() - started) / 1000, counts });
  };

  await stage('prepare', async () => {
    await ensureAll();
    return {};
  });
  if (paths.length === 0)
    await stage('checks', async () => {
      const results = await checkAll();
      const passed = results.filter(({ ok }) => ok).length;
      return { passed, failed: results.length - passed };
    });
  for (const suite of suites) {
    const inside = paths.filter((path) => path.startsWith('test/e2e') === (suite.folder === 'test/e2e'));
    if (paths.length === 0 || inside.length > 0) await stage(suite.name, () => vitest(suite, inside));
  }

  say('');
  for (const { name, seconds, counts } of stages)
    say(`${seconds.toFixed(1).padStart(7)} s  ${name}${counts.failed ? `: ${counts.failed} FAILED` : ''}`);
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed ? 1 : 0;
});

/** Runs one vitest configuration. Whatever fails outside a test (a file that does not load, a leaked error) counts as one failure. */
async function vitest({ config }, paths) {
  const folder = mkdtempSync(join(tmpdir(), 'archlab-test-'));
  const report = join(folder, 'report.json');
  try {
    const code = await runNode([
      at('node_modules', 'vitest', 'vitest.mjs'),
      'run',
      '--config',
      config,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...paths,
    ]);
    if (!existsSync(report)) return { failed: 1 };
    const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, numTotalTests } = JSON.parse(
      readFileSync(report, 'utf8'),
    );
    const broken = numFailedTests === 0 && (code !== 0 || numTotalTests === 0) ? 1 : 0;
    return { passed: numPassedTests, failed: numFailedTests + broken, skipped: numPendingTests + numTodoTests };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A path as it was typed, seen from the root, with forward slashes as vitest wants them. */
function fromRoot(typed) {
  const full = resolve(typedIn, typed);
  return (existsSync(full) && !isAbsolute(relative(root, full)) ? relative(root, full) : typed).replaceAll('\\', '/');
}
