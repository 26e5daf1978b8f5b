// Notices to the windows, gathered for a moment so that a fast run does not flood them.
import type { LabNotice } from './contract';

const GATHER_MS = 200;

export class Notices {
  readonly #listeners = new Set<(notice: LabNotice) => void>();
  readonly #runs = new Set<string>();
  readonly #metrics = new Map<string, number>();
  readonly #plain = new Set<'models' | 'texts' | 'agreements'>();
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly gatherMs = GATHER_MS) {}

  /** Calls back with every notice from now on; returns how to stop. */
  listen(listener: (notice: LabNotice) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  tell(notice: LabNotice): void {
    if (notice.kind === 'runs') for (const id of notice.ids) this.#runs.add(id);
    else if (notice.kind === 'metrics')
      this.#metrics.set(notice.run, Math.max(notice.seq, this.#metrics.get(notice.run) ?? 0));
    else this.#plain.add(notice.kind);
    this.#timer ??= setTimeout(() => this.#flush(), this.gatherMs);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }

  #flush(): void {
    this.#timer = undefined;
    const all: LabNotice[] = [...this.#plain].map((kind) => ({ kind }));
    if (this.#runs.size) all.push({ kind: 'runs', ids: [...this.#runs] });
    for (const [run, seq] of this.#metrics) all.push({ kind: 'metrics', run, seq });
    this.#runs.clear();
    this.#metrics.clear();
    this.#plain.clear();
    for (const notice of all) for (const listener of this.#listeners) listener(notice);
  }
}
