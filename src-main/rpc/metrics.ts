// Numbers of runs, for charts: pictures of a range, and what is new since the last answer.
import { z } from 'zod';
import { metricNames, newer, type Point, picture } from '../store/metric';
import { getRun } from '../store/run';
import type { Implementation, Series } from './contract';
import type { Lab } from './lab';
import { type Inputs, id, ids } from './method';

const step = z.number().min(0);

export const inputs: Inputs<'metrics'> = {
  names: z.strictObject({ runs: ids }),
  series: z.strictObject({
    runs: z.array(id).max(500),
    names: z.array(z.string().max(200)).max(200),
    buckets: z.int().min(1).max(10_000),
    after: z.record(z.string(), z.int().min(0)).optional(),
    from: step.optional(),
    to: step.optional(),
  }),
};

export const metrics = ({ store }: Lab): Implementation['metrics'] => ({
  names: ({ runs }) =>
    metricNames(
      store,
      runs.flatMap((id) => getRun(store, id)?.key ?? []),
    ),
  // One read transaction, so that every cursor fits its points.
  series: ({ runs, names, buckets, after, from, to }) =>
    store.db.transaction(() =>
      runs.flatMap((id): Series[] => {
        const run = getRun(store, id);
        if (!run) return [];
        const cursor = after && Object.hasOwn(after, id) ? after[id] : undefined;
        return names.map((name) => {
          if (cursor === undefined) {
            const { points, raw } = picture(store, run.key, name, { buckets, from, to });
            return { run: id, name, ...columns(points), raw, cursor: run.seq };
          }
          const points = newer(store, run.key, name, cursor);
          return { run: id, name, ...columns(points), raw: points.length, cursor: run.seq };
        });
      }),
    )(),
});

/** Points as one array for each of their fields. */
const columns = (points: readonly Point[]) => ({
  step: points.map((point) => point.step),
  tokens: points.map((point) => point.tokens),
  seconds: points.map((point) => point.seconds),
  value: points.map((point) => point.value),
});
