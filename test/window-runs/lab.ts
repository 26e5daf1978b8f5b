// Runs and metrics of a lab that lives in the page: finished, running, queued, failed ones, with curves that look real.
import type { Implementation, Notice, RunDetail, RunRow, Series } from '../../src-main/rpc/contract';
import type { RunEvent, RunStatus } from '../../src-main/spec/event';
import { type RunDraft, type RunSpec, runSchema } from '../../src-main/spec/run';

interface Point {
  step: number;
  tokens: number;
  seconds: number;
  value: number | null;
  seq: number;
}
interface Run {
  row: RunRow;
  spec: RunSpec;
  points: Map<string, Point[]>;
  random: () => number;
  shape: Shape;
}
interface Shape {
  floor: number;
  fall: number;
  speed: number;
  diverges?: number;
}

/** Numbers in [0, 1), the same for the same seed. */
function generator(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const SHAPES: Record<string, Shape> = {
  softmax_attention: { floor: 1.62, fall: 0.42, speed: 21_000 },
  mamba2: { floor: 1.55, fall: 0.47, speed: 16_500 },
};

function specOf(name: string, block: string, seed: number, steps: number, rest: Partial<RunDraft> = {}): RunSpec {
  return runSchema.parse({
    format: 'archlab.run/1',
    name,
    model: {
      format: 'archlab.model/1',
      width: 128,
      layers: [
        {
          repeat: 4,
          layers: [{ block, options: block === 'mamba2' ? { stateSize: 64 } : { heads: 4 } }, { block: 'gated_mlp' }],
        },
      ],
    },
    task: { id: 'text', options: { source: 'moby_dick', vocabulary: 'byte', tokens: 128 } },
    budget: { steps },
    seed,
    ...rest,
  });
}

function makeRun(
  id: string,
  name: string,
  block: string,
  spec: RunSpec,
  status: RunStatus,
  createdAt: number,
  shape: Shape,
): Run {
  const facts = status !== 'queued';
  const mamba = block === 'mamba2';
  return {
    spec,
    points: new Map(),
    random: generator(spec.seed * 977 + (mamba ? 31 : 7)),
    shape,
    row: {
      id,
      name,
      status,
      why: null,
      trouble: null,
      step: 0,
      steps: spec.budget.steps,
      tokens: 0,
      seconds: 0,
      etaSeconds: null,
      createdAt,
      startedAt: facts ? createdAt + 900 : null,
      endedAt: null,
      heartbeatAt: null,
      ownerPid: facts ? 4242 : null,
      queue: null,
      last: {},
      best: {},
      parameters: facts ? (mamba ? 874_752 : 853_120) : null,
      stateBytes: facts ? (mamba ? 139_264 : 524_288) : null,
      device: spec.device,
      deviceDetail: facts ? 'avx512' : null,
      threads: facts ? 2 : null,
      tokensPerSecond: null,
      task: spec.task.id,
      objective: spec.objective.kind,
      blocks: `${block} + gated_mlp ×4`,
      seed: spec.seed,
      tokensPerStep: facts ? 2048 : null,
      stepFlops: facts ? (mamba ? 1.21e10 : 1.08e10) : null,
      parent: null,
      resumable: false,
      checkpointStep: null,
      sizeBytes: facts ? 7_340_032 : null,
      deletedAt: null,
      seq: 0,
    },
  };
}

/** One update of a run: its points, and its row. */
function advance(run: Run): void {
  const { row, points, random, shape, spec } = run;
  row.step += 1;
  row.tokens += 2048;
  const noise = () => random() + random() - 1;
  const speed = shape.speed * (row.step < 4 ? 0.6 : 1 + 0.05 * noise());
  row.seconds += 2048 / speed;
  const put = (name: string, value: number | null) => {
    row.seq += 1;
    let list = points.get(name);
    if (!list) {
      list = [];
      points.set(name, list);
    }
    list.push({ step: row.step, tokens: row.tokens, seconds: row.seconds, value, seq: row.seq });
    row.last[name] = value;
    const best = row.best[name];
    const higher = name.startsWith('accuracy') || name === 'tokens_per_s';
    if (value !== null && (best === undefined || best === null || (higher ? value > best : value < best)))
      row.best[name] = value;
  };
  const trend = shape.floor + (5.55 - shape.floor) * (1 + row.step / 12) ** -shape.fall;
  const gone = shape.diverges !== undefined && row.step >= shape.diverges;
  put('loss/train', gone ? null : trend + 0.07 * noise() + (random() < 0.004 ? 0.6 : 0));
  put('grad_norm', gone ? null : 0.35 + 2 * (1 + row.step / 6) ** -0.8 + 0.08 * random());
  const warm = Math.min(1, row.step / 20);
  put('lr', 1e-3 * warm * (0.55 + 0.45 * Math.cos((Math.PI * row.step) / row.steps)));
  put('tokens_per_s', speed);
  if (row.step % spec.evaluation.every === 0) {
    put('loss/validation', gone ? null : trend + 0.06 + 0.01 * noise());
    put('accuracy/validation', gone ? null : 0.62 - 0.1 * trend + 0.003 * noise());
  }
  const speeds = points
    .get('tokens_per_s')!
    .slice(-400)
    .map(({ value }) => value!)
    .sort((a, b) => a - b);
  row.tokensPerSecond = {
    median: speeds[speeds.length >> 1]!,
    low: speeds[Math.floor(speeds.length / 10)]!,
    high: speeds[Math.floor(speeds.length * 0.9)]!,
  };
  row.etaSeconds = ((row.steps - row.step) * row.seconds) / row.step;
  if (row.step % 100 === 0) row.checkpointStep = row.step;
}

function picture(list: Point[], buckets: number): Point[] {
  if (list.length <= 2 * buckets) return list;
  const out: Point[] = [];
  for (let b = 0; b < buckets; b++) {
    const part = list.slice(Math.floor((b * list.length) / buckets), Math.floor(((b + 1) * list.length) / buckets));
    const sorted = [...part].sort((p, q) => (p.value ?? 0) - (q.value ?? 0));
    const both = new Set([sorted[0]!, sorted.at(-1)!]);
    out.push(...part.filter((point) => both.has(point)));
  }
  return out;
}

export type Scene = 'full' | 'empty' | 'heavy';

/** The runs and metrics of a scene, and a way to hear what changes. `calls` records what was asked. */
export function fakeLab(scene: Scene, notify: (notice: Notice) => void) {
  const runs: Run[] = [];
  const calls: { method: string; input: unknown }[] = [];
  const start = Date.now() - 3_600_000;
  const add = (
    name: string,
    block: string,
    seed: number,
    steps: number,
    done: number,
    status: RunStatus,
    rest: Partial<RunDraft> = {},
    shape = SHAPES[block]!,
  ) => {
    const run = makeRun(
      `run-${runs.length + 1}`,
      name,
      block,
      specOf(name, block, seed, steps, rest),
      status,
      start + runs.length * 240_000,
      shape,
    );
    for (let i = 0; i < done; i++) advance(run);
    if (status === 'finished')
      Object.assign(run.row, { endedAt: start, etaSeconds: 0, why: `all ${steps} steps done` });
    runs.push(run);
    return run;
  };
  const renumber = () => {
    let place = 0;
    const queued = runs
      .filter(({ row }) => row.status === 'queued')
      .sort((a, b) => (a.row.queue ?? 1e9) - (b.row.queue ?? 1e9));
    for (const { row } of runs) if (row.status !== 'queued') row.queue = null;
    for (const { row } of queued) row.queue = ++place;
  };
  if (scene === 'heavy')
    for (let i = 0; i < 10; i++)
      add(
        `long ${i + 1}`,
        i % 2 ? 'mamba2' : 'softmax_attention',
        i + 1,
        20_000,
        10_000,
        i < 2 ? 'running' : 'stopped',
      );
  if (scene === 'full') {
    for (const seed of [1, 2, 3]) add(`Transformer · seed ${seed}`, 'softmax_attention', seed, 600, 600, 'finished');
    for (const seed of [1, 2, 3]) add(`Mamba-2 · seed ${seed}`, 'mamba2', seed, 600, 600, 'finished');
    Object.assign(
      add(
        'Transformer, lr 0.1',
        'softmax_attention',
        1,
        600,
        240,
        'failed',
        { optimiser: { kind: 'adamw', lr: 0.1 } },
        { ...SHAPES.softmax_attention!, diverges: 238, floor: 2.4 },
      ).row,
      {
        why: 'The loss was not a number for 3 steps in a row, at step 240. Try a lower learning rate or a longer warm-up.',
      },
    );
    Object.assign(
      add('Mamba-2, wide state', 'mamba2', 1, 2000, 730, 'interrupted', {}, { ...SHAPES.mamba2!, floor: 1.5 }).row,
      {
        why: 'The worker died without a word (killed by the system, perhaps for want of memory).',
        resumable: true,
        checkpointStep: 700,
      },
    );
    add('Transformer, long context with a name that does not fit', 'softmax_attention', 4, 1500, 420, 'paused');
    add('Mamba-2 · seed 4', 'mamba2', 4, 2000, 300, 'running');
    add('Transformer · seed 5', 'softmax_attention', 5, 600, 0, 'queued');
    add('Mamba-2 · seed 5', 'mamba2', 5, 600, 0, 'queued');
  }
  renumber();

  const of = (ids: string[]) => runs.filter(({ row }) => ids.includes(row.id));
  const tell = (ids: string[]) => {
    renumber();
    notify({ kind: 'runs', ids });
  };
  const set = (ids: string[], change: (row: RunRow) => void) => {
    for (const { row } of of(ids)) change(row);
    tell(ids);
  };
  setInterval(() => {
    for (const run of runs) {
      if (run.row.status !== 'running' || run.row.deletedAt !== null) continue;
      for (let i = 0; i < 4; i++) if (run.row.step < run.row.steps) advance(run);
      if (run.row.step >= run.row.steps)
        set([run.row.id], (row) =>
          Object.assign(row, { status: 'finished', why: `all ${row.steps} steps done`, endedAt: Date.now() }),
        );
      notify({ kind: 'metrics', run: run.row.id, seq: run.row.seq });
    }
    const free = runs.every(({ row }) => row.status !== 'running');
    const next = runs.find(({ row }) => row.queue === 1);
    if (free && next)
      set([next.row.id], (row) =>
        Object.assign(row, {
          status: 'running',
          parameters: 860_000,
          stateBytes: 500_000,
          threads: 2,
          deviceDetail: 'avx512',
          stepFlops: 1.1e10,
          tokensPerStep: 2048,
        }),
      );
  }, 400);

  const eventsOf = (run: Run): RunEvent[] => {
    const { row } = run;
    const events: RunEvent[] = [];
    const say = (at: number, body: object) =>
      events.push({ seq: events.length + 1, at: row.createdAt + at * 1000, ...body } as RunEvent);
    if (row.step === 0) return [];
    say(0, { kind: 'started', step: 0, pid: 4242, version: '0.1.0', resumed: false });
    say(1, {
      kind: 'built',
      step: 0,
      facts: {
        parameters: row.parameters,
        stepFlops: row.stepFlops,
        stateBytes: row.stateBytes,
        tokensPerStep: 2048,
        device: 'cpu',
        deviceDetail: 'avx512',
        threads: 2,
        precision: 'float32',
        kernelVersion: 'c0ffee',
        fallbacks: [],
      },
    });
    for (const p of run.points.get('loss/train')!) {
      say(p.seconds, {
        kind: 'metric',
        step: p.step,
        tokens: p.tokens,
        seconds: p.seconds,
        values: { 'loss/train': p.value, lr: 0.001 },
      });
      if (p.step % 100 === 0)
        say(p.seconds, {
          kind: 'checkpoint',
          step: p.step,
          file: `step-${String(p.step).padStart(8, '0')}.safetensors`,
          sizeBytes: 3_500_000,
          final: false,
        });
    }
    return events;
  };

  const runsApi: Implementation['runs'] = {
    list: ({ deleted }) =>
      runs
        .map(({ row }) => row)
        .filter((row) => (row.deletedAt !== null) === !!deleted)
        .reverse(),
    get: ({ id }): RunDetail => {
      const run = of([id])[0];
      if (!run) throw new Error(`runs.get: there is no run ${id}; it may have been removed`);
      const { row, spec } = run;
      return {
        ...row,
        spec,
        folder: `/home/user/.local/share/archlab/runs/${id}`,
        warnings:
          row.status === 'failed'
            ? [{ step: 238, code: 'not_finite', message: 'The loss was not a number; the update was skipped.' }]
            : [],
        samples: Array.from({ length: Math.floor(row.step / 100) }, (_, i) => ({
          step: (i + 1) * 100,
          prompt: 'Call me ',
          text: [
            'tne whe serand the ohe wan thes',
            'the whale was the ship and the sea of the boat',
            'Ishmael. Some years ago, never mind how long precisely, the whale was in the sea, and the captain\nstood upon the deck in the wind.',
          ][Math.min(2, i)]!,
        })),
        checkpoints: row.checkpointStep
          ? [
              {
                step: row.checkpointStep,
                file: `step-${String(row.checkpointStep).padStart(8, '0')}.safetensors`,
                sizeBytes: 3_512_345,
                final: row.status === 'finished',
              },
            ]
          : [],
      };
    },
    create: () => [],
    example: () => {
      const made = [
        add('Example: transformer', 'softmax_attention', 1, 300, 0, 'queued'),
        add('Example: Mamba-2', 'mamba2', 1, 300, 0, 'queued'),
      ];
      tell(made.map(({ row }) => row.id));
      return made.map(({ row }) => row);
    },
    pause: ({ ids }) => set(ids, (row) => Object.assign(row, { status: 'paused' })),
    resume: ({ ids }) => set(ids, (row) => Object.assign(row, { status: 'running', why: null })),
    step: ({ ids }) => {
      for (const run of of(ids)) advance(run);
      tell(ids);
    },
    stop: ({ ids }) => set(ids, (row) => Object.assign(row, { status: 'stopped', why: 'stopped by you' })),
    rename: ({ id, name }) => set([id], (row) => Object.assign(row, { name })),
    remove: ({ ids }) => set(ids, (row) => Object.assign(row, { deletedAt: Date.now() })),
    restore: ({ ids }) => set(ids, (row) => Object.assign(row, { deletedAt: null })),
    reorder: ({ id, before }) => {
      const queued = runs
        .filter(({ row }) => row.queue !== null && row.id !== id)
        .sort((a, b) => a.row.queue! - b.row.queue!);
      const moved = of([id])[0]!;
      queued.splice(before ? queued.findIndex(({ row }) => row.id === before) : queued.length, 0, moved);
      for (const [i, { row }] of queued.entries()) row.queue = i + 1;
      tell([id]);
    },
    events: ({ id, after, limit }) =>
      eventsOf(of([id])[0]!)
        .filter(({ seq }) => seq > after)
        .slice(0, limit),
    csv: ({ ids }) => `run,name,step,value\n${ids.join('\n')}\n`,
  };
  const metricsApi: Implementation['metrics'] = {
    names: ({ runs: ids }) => [...new Set(of(ids).flatMap(({ points }) => [...points.keys()]))],
    series: ({ runs: ids, names, buckets, after, from = 0, to = Number.MAX_SAFE_INTEGER }) =>
      of(ids).flatMap((run) =>
        names.map((name): Series => {
          const since = after?.[run.row.id];
          const all = (run.points.get(name) ?? []).filter((p) =>
            since === undefined ? p.step >= from && p.step <= to : p.seq > since,
          );
          const list = since === undefined ? picture(all, buckets) : all;
          return {
            run: run.row.id,
            name,
            step: list.map((p) => p.step),
            tokens: list.map((p) => p.tokens),
            seconds: list.map((p) => p.seconds),
            value: list.map((p) => p.value),
            raw: all.length,
            cursor: run.row.seq,
          };
        }),
      ),
  };
  const recorded = <T extends object>(noun: string, api: T): T =>
    Object.fromEntries(
      Object.entries(api).map(([method, answer]) => [
        method,
        (input: unknown) => {
          calls.push({ method: `${noun}.${method}`, input });
          return (answer as (input: unknown) => unknown)(input);
        },
      ]),
    ) as T;
  return { runs: recorded('runs', runsApi), metrics: recorded('metrics', metricsApi), calls };
}
