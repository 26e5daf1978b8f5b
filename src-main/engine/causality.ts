// The causality check: one token of a sequence is changed, and no output before it may move, block by block.
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { tf, useDevice } from '../ops';
import type { Causality, Leak } from '../spec/causality';
import { SpecError } from '../spec/error';
import type { ModelSpec } from '../spec/model';
import { stream } from '../spec/random';
import { buildModel, type Model } from './build';
import { inspect } from './cost';
import { memoryLimit } from './memory';
import type { PlannedBlock } from './plan';

/** Longest sequence read: past the chunks of 64 that scans are cut into. */
const LONGEST = 130;
/** Earlier outputs come from the same sums; what a kernel's blocks of another size may round is far below this. */
const TOLERANCE = 1e-5;
/** Weights that start at zero or one would hide a way from token to token, so all are moved by numbers of this spread. */
const SPREAD = 0.05;

interface Context {
  vocabulary: number;
  /** Context length T; at most 130 tokens of it are read. */
  tokens: number;
}

/**
 * On the cpu device. Changes the second, a middle and the last token of a random sequence, each alone, through a model with random weights.
 * @throws SpecError for a model with problems, or one that does not fit into memory.
 */
export async function checkCausality(spec: ModelSpec, { vocabulary, tokens }: Context): Promise<Causality> {
  const { problems, total } = inspect(spec, { vocabulary, tokens, objective: 'masked' });
  if (problems.length) throw new SpecError(problems);
  const bytes = 8 * total.parameters;
  if (bytes > memoryLimit())
    throw new SpecError(
      `the weights want ${(bytes / 2 ** 30).toFixed(1)} GiB of memory while they are drawn, more than there is; make the model smaller`,
      'model',
    );
  await useDevice('cpu');
  const T = Math.min(tokens, LONGEST);
  const model = buildModel(spec, { vocabulary, tokens, seed: 1, order: 'any' });
  try {
    move(model);
    const draw = stream('causality', 1);
    const ids = Int32Array.from({ length: T }, () => draw.below(vocabulary));
    const before = await outputs(model, ids);
    const changed = [...new Set([1, Math.floor(T / 2), T - 1])].filter((t) => t > 0 && t < T);
    let worst = 0;
    const leaks: Leak[] = [];
    for (const token of changed) {
      const other = Int32Array.from(ids);
      other[token] = (ids[token] + 1 + draw.below(Math.max(1, vocabulary - 1))) % vocabulary;
      const found = firstMove(before, await outputs(model, other), token, T);
      worst = Math.max(worst, found.worst);
      if (found.leak) leaks.push(found.leak);
    }
    const leak = leaks.sort((a, b) => a.index - b.index || b.change - a.change)[0] ?? null;
    return { tokens: T, changed, worst, leak };
  } finally {
    model.dispose();
  }
}

/** Output of a block in the order of computing, row-major [T, D]. */
interface Output {
  block: PlannedBlock;
  values: Float32Array;
}

async function outputs(model: Model, ids: Int32Array): Promise<Output[]> {
  const kept: { block: PlannedBlock; tensor: tf.Tensor }[] = [];
  const tokens = tf.tensor2d(ids, [1, ids.length], 'int32') as Tensor2D;
  const logits = model.logits(tokens, { seen: (block, y) => kept.push({ block, tensor: tf.keep(tf.clone(y)) }) });
  try {
    const list: Output[] = [];
    for (const { block, tensor } of kept) list.push({ block, values: (await tensor.data()) as Float32Array });
    return list;
  } finally {
    for (const tensor of [tokens, logits, ...kept.map(({ tensor }) => tensor)]) tensor.dispose();
  }
}

/** The first block that moved at a token before `token`. */
function firstMove(before: readonly Output[], after: readonly Output[], token: number, T: number) {
  let worst = 0;
  for (const [i, { block, values }] of before.entries()) {
    const D = values.length / T;
    const scale = Math.max(1e-6, ...rowPeaks(values, D));
    for (let s = 0; s < token; s++) {
      let change = 0;
      for (let j = s * D; j < (s + 1) * D; j++) change = Math.max(change, Math.abs(after[i].values[j] - values[j]));
      change /= scale;
      if (!Number.isFinite(change))
        throw new SpecError(`${block.block.id} gives numbers that are not finite`, block.path);
      worst = Math.max(worst, change);
      if (change > TOLERANCE) {
        const leak: Leak = { block: block.block.id, index: block.index, path: block.path, token, moved: s, change };
        return { worst, leak };
      }
    }
  }
  return { worst, leak: null };
}

/** Largest magnitude of each row of D numbers. */
function* rowPeaks(values: Float32Array, D: number): Generator<number> {
  for (let at = 0; at < values.length; at += D) {
    let peak = 0;
    for (let j = at; j < at + D; j++) peak = Math.max(peak, Math.abs(values[j]));
    yield peak;
  }
}

function move(model: Model): void {
  for (const [name, weight] of model.weights) {
    const draw = stream('causality', name);
    const by = Float32Array.from({ length: weight.size }, () => SPREAD * draw.normal());
    tf.tidy(() => weight.assign(tf.add(weight, tf.tensor(by, weight.shape))));
  }
}
