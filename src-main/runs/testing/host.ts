// A main process for tests: opens the lab in the folder given, creates the runs named, and waits to be killed.
import { runSchema } from '../../spec/run';
import { listRuns } from '../../store/run';
import { openRuns } from '../open';
import { inWords } from '../supervisor';

const [folder, worker, ...names] = process.argv.slice(2);
try {
  const lab = openRuns({ folder, host: 'serve', worker, cores: 8, pollMs: 20 });
  lab.lock.setAddress('http://127.0.0.1:4321/');
  lab.supervisor.create(
    names.map((name) =>
      runSchema.parse({
        format: 'archlab.run/1',
        name,
        model: { format: 'archlab.model/1', width: 8, layers: [{ block: 'mlp' }] },
        task: { id: 'text' },
        budget: { steps: 100_000 },
      }),
    ),
  );
  setInterval(
    () => process.send?.({ runs: listRuns(lab.store).map(({ id, seq, status }) => ({ id, seq, status })) }),
    20,
  );
} catch (error) {
  process.send?.({ refused: inWords(error, folder) });
  process.exitCode = 1;
}
