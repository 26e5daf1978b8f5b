// While a chart is zoomed in, the thinned part that it shows is read again, raw.
import { shallowReactive, watch } from 'vue';
import type { ChartGroup } from '../../charts/line/crosshair';
import { type Points, splice, stepsWithin, type XAxis } from '../../charts/points';
import { useMetrics } from '../../stores/metrics';

const PAUSE_MS = 200;

/** Gives `pointsOf` of the metrics store, sharpened where the group is zoomed in. */
export function useSharpened(
  group: ChartGroup,
  wanted: () => { runs: readonly string[]; names: readonly string[]; raw: boolean; axis: XAxis },
  onError: (failure: unknown) => void,
) {
  const metrics = useMetrics();
  const details = shallowReactive(new Map<string, Points>());
  const joined = new WeakMap<Points, { detail: Points; points: Points }>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asked = 0;

  async function read(): Promise<void> {
    const { range } = group;
    const mine = ++asked;
    if (!range) return;
    const { runs, names, raw, axis } = wanted();
    if (raw) return;
    const reads = runs.flatMap((run) =>
      names.flatMap((name) => {
        const points = metrics.points(run, name);
        if (!points || points.raw <= points.value.length) return [];
        const steps = stepsWithin(points, axis, range);
        return steps ? [metrics.detail(run, name, steps).then((detail) => [`${run}|${name}`, detail] as const)] : [];
      }),
    );
    const got = await Promise.all(reads);
    // A newer zoom has asked meanwhile.
    if (mine !== asked) return;
    details.clear();
    for (const [key, detail] of got) if (detail) details.set(key, detail);
  }

  watch(
    () => [group.range, JSON.stringify(wanted())] as const,
    ([range]) => {
      clearTimeout(timer);
      if (!range) {
        asked++;
        details.clear();
        return;
      }
      timer = setTimeout(() => void read().catch(onError), PAUSE_MS);
    },
  );

  return (run: string, name: string): Points | undefined => {
    const { raw } = wanted();
    const points = metrics.points(run, name, raw);
    const detail = raw ? undefined : details.get(`${run}|${name}`);
    if (!points || !detail) return points;
    // The same object for the same parts, so that what was smoothed once is found again.
    let kept = joined.get(points);
    if (kept?.detail !== detail) {
      kept = { detail, points: splice(points, detail) };
      joined.set(points, kept);
    }
    return kept.points;
  };
}
