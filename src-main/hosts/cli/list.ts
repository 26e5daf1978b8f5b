// archlab list: the runs of the lab and how they stand.
import { answer, answerJson, type ExitCode } from './command';
import { duration, short, table } from './format';
import { readLab, statusOf } from './lab';

export async function list({ folder, json }: { folder?: string; json?: boolean }): Promise<ExitCode> {
  using lab = readLab(folder);
  const rows = (await lab.runs.list({})).map((run) => ({ ...run, status: statusOf(lab.paths, run) }));
  if (json) answerJson(rows);
  else if (rows.length === 0)
    answer(`No runs in ${lab.paths.runs} yet; start some with archlab compare, or in the window.`);
  else
    answer(
      table(
        ['run', 'status', '>step', '>loss', '>tokens/s', '>time', 'blocks', 'task', '>seed'],
        rows.map((row) => [
          row.id,
          row.status,
          `${row.step}/${row.steps}`,
          (row.last['loss/validation'] ?? row.last['loss/train'])?.toFixed(4) ?? '-',
          short(row.tokensPerSecond?.median),
          duration(row.seconds),
          row.blocks,
          row.task,
          String(row.seed),
        ]),
      ),
    );
  return 0;
}
