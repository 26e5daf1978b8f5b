// archlab export RUN --out FILE: every raw point of a run as CSV, or the run whole (spec, events) as JSON.
import { existsSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { readEvents } from '../../log/read';
import { readSpec, runFolder, writeWhole } from '../../runs/folder';
import type { RunEvent } from '../../spec/event';
import { nearest } from '../../spec/options';
import { CommandError, type ExitCode, say } from './command';
import { readLab } from './lab';

export interface ExportOptions {
  out: string;
  format?: string;
  folder?: string;
}

export async function exportRun(id: string, { out, format, folder }: ExportOptions): Promise<ExitCode> {
  const kind = format ?? (extname(out).slice(1) || 'csv');
  if (kind !== 'csv' && kind !== 'json')
    throw new CommandError(
      `--format: ${kind} is not a format; known are csv (all points) and json (spec and events)`,
      2,
    );
  using lab = readLab(folder, [id]);
  const known = (await lab.runs.list({})).map((run) => run.id);
  if (!known.includes(id)) {
    const near = nearest(id, known);
    throw new CommandError(
      `there is no run ${id} in ${lab.paths.runs}${near ? `; did you mean ${near}?` : '; archlab list shows them'}`,
    );
  }
  const text = kind === 'csv' ? await lab.runs.csv({ ids: [id] }) : json(runFolder(lab.paths, id));
  if (out === '-') process.stdout.write(text);
  else {
    const path = resolve(out);
    if (existsSync(path)) throw new CommandError(`${path} exists; choose another --out`);
    writeWhole(path, text);
    say(`Wrote ${path}`);
  }
  return 0;
}

function json(folder: string): string {
  const events: RunEvent[] = [];
  for (let offset = 0; ; ) {
    const read = readEvents(folder, offset);
    if (read.damaged) say(read.damaged);
    if (read.offset === offset) break;
    offset = read.offset;
    events.push(...read.events);
  }
  return `${JSON.stringify({ spec: readSpec(folder), events }, null, 1)}\n`;
}
