// npm run -s archlab -- COMMAND: the command line of the lab. Prepares what is missing or stale first; paths mean what they mean where it was typed.
import { at, ensureAll, run, runNode, typedIn } from './ensure.mjs';

run(async () => {
  await ensureAll();
  return runNode(['--enable-source-maps', at('out', 'main', 'cli.js'), ...process.argv.slice(2)], { cwd: typedIn });
});
