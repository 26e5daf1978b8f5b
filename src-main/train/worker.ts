// Entry of the worker process: `worker.js --run FOLDER [--lab FOLDER]`, with ARCHLAB_THREADS and, if forked, commands by IPC.
import { parseArgs } from 'node:util';
import { version } from '../../package.json';
import { type Command, Control } from './control';
import { beat } from './heartbeat';
import { work } from './session';

const commands: ReadonlySet<unknown> = new Set<Command>(['pause', 'resume', 'step', 'stop']);

const { values } = parseArgs({ options: { run: { type: 'string' }, lab: { type: 'string' } } });
const folder = values.run;
if (!folder) {
  console.error('The worker wants the folder of a run: worker.js --run FOLDER [--lab FOLDER]');
  process.exit(2);
}

const control = new Control();
process.on('message', (message: unknown) => {
  const { kind, count } = (message ?? {}) as { kind?: unknown; count?: unknown };
  if (commands.has(kind)) control.command(kind as Command);
  if (kind === 'threads' && typeof count === 'number') control.setThreads(count);
});
process.on('disconnect', () => control.end('interrupt'));
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.on(signal, () => {
    if (control.ending === 'stop') process.exit(1);
    control.command('stop');
  });

let step = 0;
const stopBeating = beat(folder, () => step);
const threads = Number.parseInt(process.env.ARCHLAB_THREADS ?? '', 10);
try {
  const whole = await work({
    folder,
    lab: values.lab,
    threads: threads > 0 ? threads : undefined,
    version,
    control,
    wrote(seq) {
      if (process.connected) process.send?.({ kind: 'wrote', seq }, () => {});
    },
    troubled(message) {
      if (message) console.error(message);
      if (process.connected) process.send?.({ kind: 'trouble', message }, () => {});
    },
    stepped(at) {
      step = at;
    },
  });
  if (!whole) console.error(`${folder}: the disk took no events to the end; the newest are lost`);
  process.exitCode = whole ? 0 : 3;
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
stopBeating();
// Threads of the device would keep the process; everything is written by now.
process.exit();
