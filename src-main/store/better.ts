// Which way a metric is better: needed wherever a best value is kept.

const HIGHER = /^(accuracy|tokens_per_s|reward|score)(\/|\[|$)/;

/** Losses, norms and times are better when lower; accuracies and rates when higher. */
export const metricBetter = (name: string): 'lower' | 'higher' => (HIGHER.test(name) ? 'higher' : 'lower');
