// The serve host: opens the lab, serves its window on loopback, and ends its workers in good order.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { labFolder } from '../../runs/folder';
import { inWords } from '../../runs/supervisor';
import { openLab } from '../lab';
import { openBrowser } from './browser';
import { serve } from './server';
import { labToken } from './token';

const HELP = `Serves the lab to a browser on this machine.

  --folder DIR   the lab folder (default: ARCHLAB_HOME, else this platform's place for data)
  --port N       the port on 127.0.0.1 (default: any free one)
  --no-open      do not open a browser
`;

interface Arguments {
  folder?: string;
  port: number;
  open: boolean;
}

/** @throws Error naming the argument that does not fit. */
function readArguments(args: string[]): Arguments | 'help' {
  const { values } = parseArgs({
    args,
    allowNegative: true,
    options: {
      folder: { type: 'string' },
      port: { type: 'string', default: '0' },
      open: { type: 'boolean', default: true },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error(`--port ${values.port} does not fit: it wants a whole number from 0 to 65535`);
  return { folder: values.folder, port, open: values.open };
}

const complain = (message: string) => process.stderr.write(`${message}\n`);
/** Writing to a terminal that was closed must not end the lab. */
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

async function main(): Promise<void> {
  let args: Arguments | 'help';
  try {
    args = readArguments(process.argv.slice(2));
  } catch (error) {
    complain(`${(error as Error).message}\n\n${HELP}`);
    process.exitCode = 2;
    return;
  }
  if (args === 'help') {
    process.stdout.write(HELP);
    return;
  }
  const folder = labFolder(args.folder);
  try {
    await open(folder, args);
  } catch (error) {
    const { code } = error as { code?: string };
    complain(
      code === 'EADDRINUSE'
        ? 'The port is taken by another program; choose another with --port, or leave it out to take any free one.'
        : inWords(error, folder),
    );
    process.exitCode = 1;
  }
}

async function open(folder: string, args: Arguments): Promise<void> {
  const lab = openLab({ folder, host: 'serve', complain });
  try {
    const served = await serve({
      renderer: windowFolder(),
      answer: lab.answer,
      listen: (listener) => lab.notices.listen(listener),
      port: args.port,
      token: labToken(folder),
    });
    lab.setAddress(`http://127.0.0.1:${served.port}/`);
    process.stdout.write(`Archlab is at ${served.address}\n`);
    if (args.open) openBrowser(served.address);
    let ending = false;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => {
        if (ending) process.exit(130);
        ending = true;
        complain('Closing: the runs write their checkpoints. The same signal again ends at once.');
        Promise.all([served.close(), lab.close()]).then(
          () => process.exit(0),
          (error: unknown) => {
            complain(inWords(error, folder));
            process.exit(1);
          },
        );
      });
  } catch (error) {
    await lab.close();
    throw error;
  }
}

/** The built window stands beside this build: out/renderer. */
function windowFolder(): string {
  const from = import.meta.dirname;
  return (
    [join(from, '../renderer'), join(from, '../../renderer')].find((path) => existsSync(path)) ??
    join(from, '../renderer')
  );
}

await main();
