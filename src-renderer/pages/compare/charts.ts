// Which charts stand on the page: the loss and the costs first, then whatever else the runs report.
import { metricTitle, sliceOf } from '../../../src-main/spec/event';
import { LOSS_NAMES } from '../../charts/loss/option';

export interface ChartPlan {
  key: string;
  /** Key of the title in the catalogue; a metric that has none is titled by its name. */
  title: string | null;
  name: string;
  names: readonly string[];
  /** Of one part of the test rows alone, such as those with eight pairs. */
  slice?: boolean;
}

const KNOWN: readonly ChartPlan[] = [
  { key: 'loss', title: 'loss', name: 'loss', names: LOSS_NAMES },
  { key: 'tokens_per_s', title: 'throughput', name: 'tokens_per_s', names: ['tokens_per_s'] },
  { key: 'accuracy', title: 'accuracy', name: 'accuracy/validation', names: ['accuracy/validation'] },
  { key: 'grad_norm', title: 'gradNorm', name: 'grad_norm', names: ['grad_norm'] },
  { key: 'lr', title: 'lr', name: 'lr', names: ['lr'] },
  { key: 'step_ms', title: 'stepMs', name: 'step_ms', names: ['step_ms'] },
];
/** Hidden until asked for: throughput says the same. */
export const HIDDEN_AT_FIRST = ['step_ms'];

/** The charts that the runs have points for; loss and throughput always, since they are what is waited for. */
export function plan(reported: ReadonlySet<string>): ChartPlan[] {
  const known = KNOWN.filter(
    ({ key, names }) => key === 'loss' || key === 'tokens_per_s' || names.some((name) => reported.has(name)),
  );
  const covered = new Set(KNOWN.flatMap(({ names }) => names));
  const others = [...reported].filter((name) => !covered.has(name)).sort();
  return [
    ...known,
    ...others.map((name) => ({ key: name, title: null, name, names: [name], slice: sliceOf(name) !== null })),
  ];
}

/** Words for metrics that only some tasks report. */
const NAMED: Record<string, string> = {
  'loss/validation': 'lossValidation',
  'accuracy/validation': 'accuracy',
  'accuracy_sample/validation': 'accuracySample',
};
/** A chart's heading: the metric in words, and the slice of the rows that it is of. */
export function titleOf({ title, name }: ChartPlan, t: (key: string) => string): string {
  if (title) return t(`compare.charts.${title}`);
  const slice = sliceOf(name);
  const whole = slice === null ? name : name.slice(0, name.indexOf('['));
  const words = NAMED[whole] ? t(`compare.charts.${NAMED[whole]}`) : metricTitle(whole);
  return slice === null ? words : `${words}: ${slice.replaceAll('=', ' = ')}`;
}
