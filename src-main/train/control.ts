// What the user wants of a run while it trains: pause, one step, go on, end.

export type Command = 'pause' | 'resume' | 'step' | 'stop';
/** Why a run is to end before its budget: the user's wish, or the loss of the lab that looked after it. */
export type Ending = 'stop' | 'interrupt';

/** Collects commands between two updates; the loop asks it before each. */
export class Control {
  #paused = false;
  #steps = 0;
  #ending: Ending | undefined;
  readonly #abort = new AbortController();
  #wake: (() => void) | undefined;
  #threads: number | undefined;

  command(kind: Command): void {
    if (kind === 'pause') this.#paused = true;
    if (kind === 'resume') {
      this.#paused = false;
      this.#steps = 0;
    }
    // A step is of a paused run; one that runs does it anyway.
    if (kind === 'step' && this.#paused) this.#steps += 1;
    if (kind === 'stop') this.end('stop');
    else this.#stir();
  }

  /** The first reason counts. */
  end(ending: Ending): void {
    this.#ending ??= ending;
    this.#abort.abort();
    this.#stir();
  }

  get ending(): Ending | undefined {
    return this.#ending;
  }
  /** Aborted when the run is to end. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }
  get paused(): boolean {
    return this.#paused;
  }

  /** The run is to use as many threads from its next update on. */
  setThreads(count: number): void {
    this.#threads = count;
  }
  /** What `setThreads` asked for, once. */
  takeThreads(): number | undefined {
    const asked = this.#threads;
    this.#threads = undefined;
    return asked;
  }

  /** True if a paused run may do one update; takes that step. */
  takeStep(): boolean {
    if (this.#steps === 0) return false;
    this.#steps -= 1;
    return true;
  }

  /** Settles at the next command, or after `timeoutMs`. */
  changed(timeoutMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = timeoutMs === undefined ? undefined : setTimeout(() => this.#stir(), timeoutMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #stir(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
