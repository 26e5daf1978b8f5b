// Keeps the runs going: the queue, a worker for each run at work, and the store up to date with their logs.
import { existsSync } from 'node:fs';
import { openLog } from '../log/append';
import { isOver } from '../spec/event';
import type { RunSpec } from '../spec/run';
import type { Store } from '../store/open';
import {
  activeRuns,
  getRun,
  insertRun,
  logOffsets,
  queued,
  type RunRecord,
  runIds,
  setHeartbeat,
  setQueue,
  setSize,
  setStatus,
} from '../store/run';
import { setting } from '../store/setting';
import { workerOf } from './at-work';
import { catchUp, importFolders, importTexts, logBytes, nameOf, reconcile } from './catch-up';
import { createRunFolder, folderBytes, type LabPaths, readHeartbeat, runFolder, writeLabel } from './folder';
import { atOnceByDefault, deathOf, isResumable, LOST_OWNER, systemTrouble, threadsFor } from './standing';
import { startWorker, type Worker } from './worker';

/** How many runs at once, as a setting of the user's. */
export const AT_ONCE = 'runs.atOnce';
const POLL_MS = 500;
/** A fast run pokes many times a second; its log is read once for all pokes of such a moment. */
const GATHER_MS = 50;
/** Polls between two looks for folders that others made, and between two counts of bytes. */
const LOOK_EVERY = 6;
const SIZE_EVERY = 20;
/** A worker that was let go of gets this long to write its checkpoint, and this much again after a signal. */
const RELEASE_MS = 20_000;
const SIGNAL_MS = 5000;

export interface SupervisorOptions {
  store: Store;
  paths: LabPaths;
  /** The built worker's script; asked for when the first run starts. */
  worker: () => string;
  cores: number;
  /** Runs whose rows changed. */
  changed?: (ids: string[]) => void;
  /** A run has numbers up to event `seq`. */
  measured?: (run: string, seq: number) => void;
  /** Trouble that is nobody's answer: a sentence for the log of the host. */
  complain?: (message: string) => void;
  now?: () => number;
  pollMs?: number;
}

interface AtWork {
  worker: Worker;
  /** Its share of the cores; undefined where its spec fixes the number. */
  threads: number | undefined;
  stops: number;
  /** Told to go on, though its log may not say so yet. */
  resumed: boolean;
  done: Promise<void>;
}

export class Supervisor {
  readonly paths: LabPaths;
  readonly #o: Required<SupervisorOptions>;
  readonly #atWork = new Map<string, AtWork>();
  readonly #poked = new Map<string, NodeJS.Timeout>();
  readonly #complained = new Set<string>();
  readonly #troubles = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #ticks = 0;
  #closing = false;

  constructor(options: SupervisorOptions) {
    this.#o = {
      changed: () => {},
      measured: () => {},
      complain: () => {},
      now: Date.now,
      pollMs: POLL_MS,
      ...options,
    };
    this.paths = options.paths;
  }

  /** Catches up with what happened while no lab was open, then keeps watch. */
  open(): void {
    const { store } = this.#o;
    reconcile(store, this.paths);
    importFolders(store, this.paths, this.#say);
    importTexts(store, this.paths);
    for (const id of runIds(store)) this.#read(id);
    for (const run of activeRuns(store)) this.#judge(run);
    this.#timer = setInterval(() => this.#tick(), this.#o.pollMs);
    this.#pump();
  }

  get atOnce(): number {
    const chosen = setting(this.#o.store, AT_ONCE);
    return typeof chosen === 'number' && chosen >= 1 ? Math.floor(chosen) : atOnceByDefault(this.#o.cores);
  }

  /** Makes the folders of checked specs and queues them; all or, when the disk refuses, those before. */
  create(specs: readonly RunSpec[]): RunRecord[] {
    const runs = specs.map((spec) => {
      const id = createRunFolder(this.paths, spec);
      return insertRun(this.#o.store, {
        id,
        name: nameOf(spec, id),
        spec,
        createdAt: this.#o.now(),
        status: 'queued',
      });
    });
    this.#tell(runs.map(({ id }) => id));
    this.#pump();
    return runs.map(({ id }) => getRun(this.#o.store, id)!);
  }

  /** @throws Error in words for a run that does not train. */
  pause(id: string): void {
    const run = this.#known(id);
    if (run.status === 'paused') return;
    const atWork = this.#own(run, 'pause');
    atWork.resumed = false;
    atWork.worker.send({ kind: 'pause' });
  }

  /**
   * A paused run goes on where there is room; one that is over joins the queue.
   * @throws Error in words for a paused run beside as many at work as may be at once.
   */
  resume(id: string): void {
    const run = this.#known(id);
    if (run.deletedAt !== null) throw new Error(`${run.name} is in the trash: bring it back first, then resume it.`);
    const atWork = this.#atWork.get(id);
    if (atWork && !isOver(run.status)) {
      const busy = this.#busy().filter((other) => other !== id).length;
      if (busy >= this.atOnce)
        throw new Error(
          `${run.name} stays paused: ${busy} ${busy === 1 ? 'run is' : 'runs are'} at work already, the most at once. Pause or wait for one of them, or raise that limit on the Device page.`,
        );
      atWork.resumed = true;
      atWork.worker.send({ kind: 'resume' });
      return;
    }
    if (run.status === 'queued') return;
    if (!isResumable(run.status)) throw new Error(`${run.name} is ${run.status}: there is nothing to resume.`);
    if (this.#livesElsewhere(id)) throw new Error(elsewhere(run, this.#owner(id)));
    setStatus(this.#o.store, id, 'queued');
    this.#tell([id]);
    this.#pump();
  }

  /** @throws Error in words for a run that is not paused. */
  step(id: string): void {
    const run = this.#known(id);
    if (run.status !== 'paused') throw new Error(`${run.name} is ${run.status}; only a paused run takes single steps.`);
    this.#own(run, 'step').worker.send({ kind: 'step' });
  }

  /** Ends a run in good order. Asked again it insists: by SIGTERM, then by SIGKILL. */
  stop(id: string): void {
    const { store, now } = this.#o;
    const run = this.#known(id);
    if (isOver(run.status)) return;
    if (run.status === 'queued') {
      const why =
        run.seq > 0 ? 'Taken out of the queue before it went on.' : 'Taken out of the queue before it started.';
      setStatus(store, id, 'stopped', { why, endedAt: now() });
      this.#tell([id]);
      return;
    }
    const atWork = this.#atWork.get(id);
    if (!atWork) {
      const pid = this.#livesElsewhere(id) ? this.#owner(id) : undefined;
      if (pid) process.kill(pid, 'SIGTERM');
      return;
    }
    atWork.stops += 1;
    if (atWork.stops === 1) atWork.worker.send({ kind: 'stop' });
    else atWork.worker.signal(atWork.stops === 2 ? 'SIGTERM' : 'SIGKILL');
  }

  /** Moves a queued run in front of another, or to the end. */
  reorder(id: string, before: string | null): void {
    if (before === id) return;
    const rest = queued(this.#o.store).filter((other) => other !== id);
    if (this.#known(id).status !== 'queued')
      throw new Error(`${id} is not in the queue, so it has no place to change.`);
    const at = before === null ? rest.length : rest.indexOf(before);
    if (at < 0) throw new Error(`${before} is not in the queue; ask with null to move ${id} to its end.`);
    const order = rest.toSpliced(at, 0, id);
    setQueue(this.#o.store, order);
    this.#tell(order);
  }

  /** True while a worker, ours or another's, writes to the run's folder. */
  isAtWork = (id: string): boolean => this.#atWork.has(id) || this.#livesElsewhere(id);

  /** Looks at the queue again, after a setting changed. */
  refresh(): void {
    this.#pump();
  }

  /** Lets go of every worker, waits until each has written its checkpoint, and reads their last words. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#timer);
    const left = [...this.#atWork.values()];
    for (const { worker } of left) worker.release();
    const signals: [NodeJS.Signals, number][] = [
      ['SIGTERM', RELEASE_MS],
      ['SIGKILL', SIGNAL_MS],
    ];
    const timers = signals.map(([signal], i) => {
      const wait = signals.slice(0, i + 1).reduce((sum, [, ms]) => sum + ms, 0);
      return setTimeout(() => {
        for (const { worker } of this.#atWork.values()) worker.signal(signal);
      }, wait);
    });
    await Promise.all(left.map(({ done }) => done));
    for (const timer of [...timers, ...this.#poked.values()]) clearTimeout(timer);
  }

  #known(id: string): RunRecord {
    const run = getRun(this.#o.store, id);
    if (!run) throw new Error(`There is no run ${JSON.stringify(id)} in this lab; it may have been deleted.`);
    return run;
  }

  #own(run: RunRecord, what: string): AtWork {
    const atWork = this.#atWork.get(run.id);
    if (atWork && !isOver(run.status)) return atWork;
    if (this.#livesElsewhere(run.id)) throw new Error(elsewhere(run, this.#owner(run.id)));
    throw new Error(`${run.name} is ${run.status}: only a run that trains can ${what}.`);
  }

  #owner = (id: string): number | undefined => readHeartbeat(runFolder(this.paths, id))?.pid;

  #livesElsewhere = (id: string): boolean =>
    !this.#atWork.has(id) && workerOf(runFolder(this.paths, id), this.#o.now()) !== undefined;

  #tell(ids: string[]): void {
    if (ids.length) this.#o.changed(ids);
  }

  /** Starts queued runs while there is room. A paused run takes no room. */
  #pump(): void {
    const { store } = this.#o;
    if (this.#closing) return;
    // A worker that has said its last word is on its way out; when it is gone, the queue is looked at again.
    const waiting = queued(store).filter((id) => !this.#atWork.has(id));
    const busy = this.#busy().length;
    const room = Math.min(waiting.length, this.atOnce - busy);
    const others = this.#others();
    for (const id of waiting.slice(0, Math.max(0, room))) this.#start(id, busy + room + others);
    this.#share(others);
  }

  /** How many runs of others compute in this lab's folder. They take no room in the queue and keep their threads, but have a share of the cores. */
  #others = (): number =>
    activeRuns(this.#o.store).filter(({ id, status }) => status !== 'paused' && this.#livesElsewhere(id)).length;

  /** Divides the cores among the runs that compute: one that joins or leaves changes what the others have from their next update on. */
  #share(others: number): void {
    const busy = this.#busy();
    const threads = threadsFor(this.#o.cores, busy.length + others);
    for (const id of busy) {
      const atWork = this.#atWork.get(id)!;
      if (atWork.threads === undefined || atWork.threads === threads) continue;
      atWork.threads = threads;
      atWork.worker.send({ kind: 'threads', count: threads });
    }
  }

  /** Ids of the runs that take room: all at work but the paused ones. */
  #busy = (): string[] =>
    [...this.#atWork]
      .filter(([id, { resumed }]) => resumed || getRun(this.#o.store, id)?.status !== 'paused')
      .map(([id]) => id);

  /** `together`: how many runs will compute when all are started that are to be. */
  #start(id: string, together: number): void {
    const { store, now, cores } = this.#o;
    const run = this.#known(id);
    const folder = runFolder(this.paths, id);
    try {
      if (!existsSync(folder)) throw new Error(`The run's folder ${folder} is gone.`);
      if (this.#livesElsewhere(id)) throw new Error(elsewhere(run, this.#owner(id)));
      const own = run.spec.threads ?? undefined;
      const threads = own ?? threadsFor(cores, together);
      const { promise, resolve } = Promise.withResolvers<void>();
      const worker = startWorker({
        script: this.#o.worker(),
        folder,
        lab: this.paths.folder,
        threads,
        wrote: () => this.#poke(id),
        troubled: (message) => {
          if (message) this.#troubles.set(id, message);
          else this.#troubles.delete(id);
          this.#tell([id]);
        },
        ended: (end) => {
          this.#atWork.delete(id);
          this.#troubles.delete(id);
          try {
            this.#bury(id, end);
          } catch (error) {
            // The disk refused it; the next poll finds the run without a worker and tries again.
            this.#complain(error);
          }
          resolve();
        },
      });
      this.#atWork.set(id, {
        worker,
        threads: own === undefined ? threads : undefined,
        stops: 0,
        resumed: false,
        done: promise,
      });
      setStatus(store, id, 'starting', { pid: worker.pid ?? null });
    } catch (error) {
      setStatus(store, id, 'failed', { why: inWords(error, folder), endedAt: now() });
    }
    this.#tell([id]);
  }

  /** What keeps the events of a run at work from the disk, as a sentence; its log can't tell. */
  troubleOf(id: string): string | null {
    return this.#troubles.get(id) ?? null;
  }

  #poke(id: string): void {
    if (this.#poked.has(id)) return;
    const timer = setTimeout(() => {
      this.#poked.delete(id);
      this.#read(id);
    }, GATHER_MS);
    this.#poked.set(id, timer);
  }

  /** A worker is gone: its log is read to the end, and where it left no last word, one is written for it. */
  #bury(
    id: string,
    end: { code: number | null; signal: NodeJS.Signals | null; lastLines: string; error?: Error },
  ): void {
    const { store, now } = this.#o;
    if (!store.db.open) return;
    this.#read(id);
    const run = getRun(store, id);
    // A queued one was resumed between the worker's last word and its exit.
    if (run && !isOver(run.status) && run.status !== 'queued') {
      const folder = runFolder(this.paths, id);
      const death = end.error
        ? { status: 'failed' as const, why: inWords(end.error, folder) }
        : deathOf(end.code, end.signal, end.lastLines);
      this.#lastWord(run, death);
      this.#read(id);
      // The disk may have refused the last word; then the store alone has it.
      if (!isOver(getRun(store, id)!.status)) setStatus(store, id, death.status, { why: death.why, endedAt: now() });
    }
    this.#measure(id);
    this.#tell([id]);
    this.#pump();
  }

  #lastWord(run: RunRecord, { status, why }: { status: 'failed' | 'interrupted'; why: string }): void {
    try {
      const log = openLog(runFolder(this.paths, run.id));
      log.append({ kind: 'ended', step: log.last?.step ?? run.step, status, why });
      log.close();
    } catch (error) {
      this.#complain(error);
    }
  }

  /** Reads on in a run's log; trouble is said once and tried again with the next poll. */
  #read(id: string): void {
    const { store } = this.#o;
    if (!store.db.open) return;
    try {
      const { taken, metrics, seq, again } = catchUp(store, this.paths, id);
      if (metrics || again) this.#o.measured(id, seq);
      if (taken > 0 || again) this.#tell([id]);
    } catch (error) {
      this.#complain(error);
    }
  }

  #complain(error: unknown): void {
    this.#say(inWords(error, this.paths.folder));
  }

  /** Each trouble once, however often it comes again. */
  #say = (message: string): void => {
    if (this.#complained.has(message)) return;
    this.#complained.add(message);
    this.#o.complain(message);
  };

  #tick(): void {
    const { store } = this.#o;
    this.#ticks += 1;
    try {
      if (this.#ticks % LOOK_EVERY === 0) this.#lookAround();
      for (const run of activeRuns(store)) {
        this.#read(run.id);
        this.#judge(run);
        if (this.#ticks % SIZE_EVERY === 0) this.#measure(run.id);
      }
      this.#pump();
    } catch (error) {
      this.#complain(error);
    }
  }

  /** Takes in folders that others made, and reads logs that others went on with. */
  #lookAround(): void {
    const { store } = this.#o;
    this.#tell(importFolders(store, this.paths, this.#say));
    for (const { id, offset } of logOffsets(store)) if (logBytes(runFolder(this.paths, id)) !== offset) this.#read(id);
  }

  /** Takes down a run's heartbeat; one whose worker is gone without being ours to bury is interrupted. */
  #judge(before: RunRecord): void {
    const { store, now } = this.#o;
    const run = getRun(store, before.id);
    if (!run || isOver(run.status) || run.status === 'queued') return;
    const heartbeat = readHeartbeat(runFolder(this.paths, run.id));
    if (heartbeat && heartbeat.at > (run.heartbeatAt ?? 0))
      setHeartbeat(store, run.id, Math.round(heartbeat.at), heartbeat.pid);
    if (this.#atWork.has(run.id) || this.#livesElsewhere(run.id)) return;
    // Its last words may have come between the two looks.
    this.#read(run.id);
    if (isOver(getRun(store, run.id)!.status)) return;
    setStatus(store, run.id, 'interrupted', { why: LOST_OWNER, endedAt: Math.round(heartbeat?.at ?? now()) });
    this.#tell([run.id]);
  }

  #measure(id: string): void {
    const folder = runFolder(this.paths, id);
    if (existsSync(folder)) setSize(this.#o.store, id, folderBytes(folder));
  }

  /** Keeps a run's name or its place in the trash with its folder. */
  label(id: string, change: { name?: string; deletedAt?: number | null }): void {
    const folder = runFolder(this.paths, id);
    if (existsSync(folder)) writeLabel(folder, change);
  }
}

const elsewhere = (run: RunRecord, pid: number | undefined): string =>
  `${run.name} is being trained by process ${pid}, which this window did not start. Wait until it ends, or end it there.`;

/** An error as a sentence for the user; what is not the system's fault keeps its own words. */
export const inWords = (error: unknown, folder: string): string =>
  systemTrouble(error, folder) ?? (error instanceof Error ? error.message : String(error));
