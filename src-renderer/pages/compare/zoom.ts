// While a chart is zoomed in, the thinned part that it shows is read again, raw.
import { shallowReactive, watch } from 'vue';
import type { ChartGroup } from '../../charts/line/crosshair';
import { useMetrics } from '../../stores/metrics';
import { type Points, type Range, splice, stepsWithin, withFlops, type XAxis } from '../../stores/points';

const PAUSE_MS = 200;

/** Gives `pointsOf` of the metrics store, sharpened where the group is zoomed in. */
export function useSharpened(
  group: ChartGroup,
  wanted: () => { runs: readonly string[]; names: readonly string[]; raw: boolean; axis: XAxis },
  /** What a token of a run's training costs, for the axis of FLOPs. */
  tokenFlopsOf: (run: string) => number | null | undefined,
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
    // Runs whose range is the same steps are asked for in one call: on the step axis, all of them.
    const calls = new Map<string, { steps: Range; runs: string[] }>();
    const wantedNames = new Set<string>();
    for (const run of runs)
      for (const name of names) {
        const points = metrics.points(run, name);
        if (!points || points.raw <= points.value.length) continue;
        const steps: Range | null =
          axis === 'step'
            ? [Math.max(0, Math.floor(range[0])), Math.max(0, Math.ceil(range[1]))]
            : stepsWithin(withFlops(points, tokenFlopsOf(run)), axis, range);
        if (!steps) continue;
        wantedNames.add(name);
        const key = axis === 'step' ? '' : run;
        const call = calls.get(key) ?? { steps, runs: [] };
        call.steps = [Math.min(call.steps[0], steps[0]), Math.max(call.steps[1], steps[1])];
        if (!call.runs.includes(run)) call.runs.push(run);
        calls.set(key, call);
      }
    const got = await Promise.all(
      [...calls.values()].map((call) => metrics.detail(call.runs, [...wantedNames], call.steps)),
    );
    // A newer zoom has asked meanwhile.
    if (mine !== asked) return;
    details.clear();
    for (const points of got.flat()) details.set(`${points.run}|${points.name}`, points);
  }

  watch([() => group.range, () => JSON.stringify(wanted())] as const, ([range]) => {
    clearTimeout(timer);
    if (!range) {
      asked++;
      details.clear();
      return;
    }
    timer = setTimeout(() => void read().catch(onError), PAUSE_MS);
  });

  return (run: string, name: string): Points | undefined => {
    const { raw } = wanted();
    const points = metrics.points(run, name, raw);
    const detail = raw ? undefined : details.get(`${run}|${name}`);
    if (!points) return points;
    if (!detail) return withFlops(points, tokenFlopsOf(run));
    // The same object for the same parts, so that what was smoothed once is found again.
    let kept = joined.get(points);
    if (kept?.detail !== detail) {
      kept = { detail, points: splice(points, detail) };
      joined.set(points, kept);
    }
    return withFlops(kept.points, tokenFlopsOf(run));
  };
}
