// Progress of one run on stderr: a bar with loss and time left in a terminal, a line now and then elsewhere.
import { Presets, SingleBar } from 'cli-progress';
import type { RunEvent } from '../../spec/event';
import { say } from './command';
import { duration } from './format';

export interface Progress {
  see(event: RunEvent): void;
  end(): void;
}

/** Between two lines where there is no terminal. */
const LINE_EVERY_MS = 5000;

/** Shows a run of `steps` steps under a name. */
export function showProgress(
  name: string,
  steps: number,
  { terminal = process.stderr.isTTY, now = Date.now } = {},
): Progress {
  const view = watch(steps);
  return terminal ? bar(name, steps, view) : lines(name, steps, view, now);
}

/** What the events say so far: the step, the newest training loss, the seconds that are left. */
export function watch(steps: number) {
  let step = 0;
  let loss: number | null = null;
  let first: { step: number; at: number } | undefined;
  let left: number | null = null;
  return {
    see(event: RunEvent): void {
      step = event.step;
      if (event.kind === 'started') first = undefined;
      if (event.kind !== 'metric') return;
      loss = event.values['loss/train'] ?? loss;
      // The first reading holds the warm-up, so the pace is taken from it on; by the clock, which evaluations take time of too.
      if (!first) first = { step, at: event.at };
      else if (step > first.step) left = ((event.at - first.at) / 1000 / (step - first.step)) * (steps - step);
    },
    get step() {
      return step;
    },
    get loss() {
      return loss === null ? '-' : loss.toFixed(3);
    },
    get left() {
      return left === null ? '-' : duration(left);
    },
  };
}
type View = ReturnType<typeof watch>;

function bar(name: string, steps: number, view: View): Progress {
  const format = '{name} {bar} {value}/{total}  loss {loss}  {left} left';
  const shown = new SingleBar(
    { format, stream: process.stderr, hideCursor: true, clearOnComplete: false, gracefulExit: false, barsize: 24 },
    Presets.shades_classic,
  );
  const payload = () => ({ name, loss: view.loss, left: view.left });
  shown.start(steps, 0, payload());
  return {
    see(event) {
      view.see(event);
      shown.update(Math.min(steps, view.step), payload());
    },
    end: () => shown.stop(),
  };
}

function lines(name: string, steps: number, view: View, now: () => number): Progress {
  let next = now() + LINE_EVERY_MS;
  return {
    see(event) {
      view.see(event);
      if (event.kind !== 'metric' || now() < next) return;
      next = now() + LINE_EVERY_MS;
      say(`${name}: step ${view.step} of ${steps}, loss ${view.loss}, ${view.left} left`);
    },
    end: () => say(`${name}: step ${view.step} of ${steps}, loss ${view.loss}`),
  };
}
