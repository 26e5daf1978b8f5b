// The memory that learns while it reads: a small network a head, trained token by token with momentum and an orthogonalised step.
import { type Attrs, defineKernel, type Kernel, type Shape, type Shapes } from '../core/kernel';

/** Tokens that the gradient makes again at once; the memory is kept at the start of each segment. */
export const SEGMENT = 16;

/**
 * Where segments start: whole chunks of `chunk` tokens as long as they fit into SEGMENT, else pieces of one chunk.
 * @returns the first token of each segment below `tokens`, in order.
 */
export function segmentStarts(chunk: number, tokens: number): number[] {
  const starts: number[] = [];
  const step = chunk <= SEGMENT ? chunk * Math.floor(SEGMENT / chunk) : chunk;
  for (let t = 0; t < tokens; t += step)
    for (let at = t; at < Math.min(t + step, tokens); at += Math.min(step, SEGMENT)) starts.push(at);
  return starts;
}

/** Rows and columns of the memory's matrices, from the shapes of w1 [.., F, h] and w2 [.., h, d] (linear: w1 [.., F, d] alone). */
export const matricesOf = ({ w1, w2 }: Shapes): Shape[] => [w1, w2].flatMap((one) => (one ? [one.slice(1)] : []));

const numbers = (shapes: Shapes): number => matricesOf(shapes).reduce((sum, [r, s]) => sum + r * s, 0);

function ints(shapes: Shapes, { window, chunk, nsSteps, position = 0 }: Attrs): number[] {
  const { q, pq, k, w1, w2 } = shapes;
  const [R, T, d] = q;
  const sizes = [R, w1[0], T, k[1] - T, pq[2], w2 ? w1[2] : 0, d];
  return [...sizes, Number(window), Number(chunk), Number(nsSteps), Number(position)];
}

function refuses({ p, k, v, gamma, q, pq, alpha, eta, theta, w1, w2 }: Shapes): string | undefined {
  if (q.length !== 3) return `q must be [memories, tokens, width], not [${q.join(', ')}]`;
  const [R, T, d] = q;
  const expected: Record<string, [Shape, Shape]> = {
    k: [k, [R, k[1], d]],
    v: [v, k],
    p: [p, [R, k[1], pq[2]]],
    pq: [pq, [R, T, pq[2]]],
    gamma: [gamma, [R, k[1]]],
    alpha: [alpha, [R, T]],
    eta: [eta, [R, T]],
    theta: [theta, [R, T]],
    w1: [w1, [w1[0], pq[2], w2 ? w1[2] : d]],
    ...(w2 && { w2: [w2, [w1[0], w1[2], d]] as [Shape, Shape] }),
  };
  for (const [name, [came, due]] of Object.entries(expected))
    if (String(came) !== String(due)) return `${name} is [${came}], and [${due}] fits the others`;
  if (w1[0] < 1 || R % w1[0] !== 0) return `${R} memories can't start from ${w1[0]} by turns`;
  return undefined;
}

/**
 * Keys k and values v [R, T, d] with features p [R, T, F] and weights gamma [R, T]; queries q [R, T, d] with features pq [R, T, F]; retention alpha,
 * step eta and momentum theta [R, T]; to y [R, T, d]. R memories, of which number n starts from w1[n % H] [F, h] and w2[n % H] [h, d]; without w2 it is
 * one matrix w1 [F, d]. Attributes: window, chunk and nsSteps as in the options of the atlas block. Sums are float64, since orthogonalisation
 * strengthens rounding up to 485 times; under bfloat16 its own are float32. `states`: matrices and momenta at the start of each segment, [R, segments, (w, s), (rounded, rest), numbers].
 */
export const atlasMemory = defineKernel({
  name: 'AtlasMemory',
  inputs: ['p', 'k', 'v', 'gamma', 'q', 'pq', 'alpha', 'eta', 'theta', 'w1', 'w2?'],
  outputs: (shapes, { chunk }) => ({
    y: shapes.q,
    states: [shapes.q[0], segmentStarts(Number(chunk), shapes.q[1]).length, 2, 2, numbers(shapes)],
  }),
  ints,
  refuses(shapes) {
    const why = refuses(shapes);
    if (why) return why;
    const { q, k } = shapes;
    return k[1] === q[1] ? undefined : `k has ${k[1]} tokens, and q has ${q[1]}`;
  },
  gradient: {
    kernel: 'AtlasMemoryGrad',
    inputs: ['p', 'k', 'v', 'gamma', 'q', 'pq', 'alpha', 'eta', 'theta', 'w1', 'w2'],
    outputs: ['states'],
    cotangents: ['y'],
    of: ['p', 'k', 'v', 'gamma', 'q', 'pq', 'alpha', 'eta', 'theta', 'w1', 'w2'],
  },
});

export const atlasMemoryGrad = defineKernel({
  name: 'AtlasMemoryGrad',
  inputs: ['p', 'k', 'v', 'gamma', 'q', 'pq', 'alpha', 'eta', 'theta', 'w1', 'w2?', 'states', 'dy'],
  outputs: ({ p, k, gamma, q, pq, alpha, w1, w2 }) => ({
    dp: p,
    dk: k,
    dv: k,
    dgamma: gamma,
    dq: q,
    dpq: pq,
    dalpha: alpha,
    deta: alpha,
    dtheta: alpha,
    dw1: w1,
    dw2: w2 ?? [0],
  }),
  ints,
});

/**
 * The same from a memory that has read `position` tokens before: p, k, v and gamma begin with those of the window before the new tokens. All matrices
 * [R, ..]; anchor1 and anchor2 are absent where `position` starts a chunk. Gives y and the matrices and momenta after the last token.
 */
export const atlasMemoryStep = defineKernel({
  name: 'AtlasMemoryStep',
  inputs: [...atlasMemory.inputs, 's1', 's2?', 'anchor1?', 'anchor2?'],
  outputs: ({ q, w1, w2 }) => ({ y: q, nextW1: w1, nextS1: w1, ...(w2 && { nextW2: w2, nextS2: w2 }) }),
  ints,
  refuses,
});

export const kernels: Kernel[] = [atlasMemory, atlasMemoryGrad, atlasMemoryStep];
