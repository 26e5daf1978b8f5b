// Adding a block touches only its folder: a copy of the lab with one more folder has it in its palette, builds, trains and decodes it.
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BlockCard } from '../../src-main/spec/card';

const ROOT = resolve(import.meta.dirname, '../..');

const FOLDER = {
  'block.ts': `// What the palette, the checker and the engine know of the fading sum.
import { tf } from '../../ops';
import { float } from '../../spec/options';
import { defineBlock } from '../define';
import { linear } from '../parts/linear';
import { alongAxis } from '../parts/tokens';

export default defineBlock({
  id: 'fading_sum',
  role: 'mixer',
  title: 'Fading sum',
  options: { keep: float(0.9, { min: 0, max: 1, help: 'Share of the sum that each token keeps.' }) },
  causal: () => true,
  weights: (_, D) => ({ w: { shape: [D, D], init: { kind: 'normal', std: 0.02 } } }),
  state: (_, D) => ({ sum: { shape: [D] } }),
  cost: (_, D, T) => ({ forwardFlops: 2 * T * D * D, backwardFlops: 4 * T * D * D, savedNumbers: 2 * T * D }),
  layer: {
    forward(x, w, { options }) {
      let sum = tf.zeros([x.shape[0], x.shape[2]]);
      const sums = alongAxis(linear(x, w.w), 1).map((token) => {
        sum = tf.add(tf.mul(sum, options.keep), token);
        return sum;
      });
      return tf.stack(sums, 1);
    },
    begin: (batch, width) => ({ sum: tf.zeros([batch, width]) }),
    step(x, w, { sum }, { options }) {
      const next = tf.add(tf.mul(sum, options.keep), tf.squeeze(linear(x, w.w), [1]));
      return { y: tf.expandDims(next, 1), state: { sum: next } };
    },
  },
});
`,
  'card.md':
    'A sum of all tokens that fades. It is the plainest memory. It learns little.\n\n**Equation**: `y[t] = a y[t−1] + x[t] W`.\n',
  'ru.ts': `// What the block is called in Russian.
export default { title: 'Угасающая сумма', text: 'Сумма токенов, которая угасает.', options: {} };
`,
};

/** What the copy is asked: the palette as the window gets it, and what a model of the new block does. */
const PROBE = `import { writeFileSync } from 'node:fs';
import { buildModel } from './src-main/engine/build';
import { inspect } from './src-main/engine/cost';
import { tf, useDevice } from './src-main/ops';
import { blocks } from './src-main/rpc/blocks';
import { parseModel } from './src-main/spec/model';
import { catalogue } from './src-main/blocks';

const spec = parseModel({ format: 'archlab.model/1', width: 8, layers: [{ block: 'fading_sum', options: { keep: 0.5 } }] }, catalogue);
await useDevice('reference');
const context = { tokens: 5, vocabulary: 7 };
const model = buildModel(spec, { ...context, seed: 1 });
const ids = tf.tensor2d([[1, 2, 3, 4, 5]], [1, 5], 'int32');
const { value, grads } = tf.variableGrads(() => model.loss(ids, ids, undefined), [...model.weights.values()]);
const whole = model.logits(ids).arraySync()[0];
let state = model.begin(1);
const steps = [];
for (const id of [1, 2, 3, 4, 5]) {
  const done = model.step(tf.tensor1d([id], 'int32'), state);
  state = done.state;
  steps.push(done.logits.arraySync()[0]);
}
const off = Math.max(...whole.flatMap((row, t) => row.map((u, i) => Math.abs(u - steps[t][i]))));
const { total, problems } = inspect(spec, context);
writeFileSync('answer.json', JSON.stringify({
  cards: await blocks().list(),
  loss: value.dataSync()[0],
  gradients: Object.values(grads).every((one) => one.dataSync().every(Number.isFinite)),
  off, problems, parameters: [total.parameters, model.parameters],
}));
process.exit(0); // the device's timers need not be waited for
`;

interface Answer {
  cards: BlockCard[];
  loss: number;
  gradients: boolean;
  off: number;
  problems: unknown[];
  parameters: [number, number];
}
let folder: string;
let answer: Answer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-addition-'));
  for (const room of ['src-main', 'kernels'])
    cpSync(join(ROOT, room), join(folder, room), {
      recursive: true,
      filter: (path) => !/\.(test\.ts|cc|h|wasm)$/.test(path),
    });
  for (const file of ['package.json', 'tsconfig.json']) cpSync(join(ROOT, file), join(folder, file));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
  mkdirSync(join(folder, 'src-main/blocks/fading_sum'));
  for (const [name, text] of Object.entries(FOLDER))
    writeFileSync(join(folder, 'src-main/blocks/fading_sum', name), text);
  writeFileSync(join(folder, 'probe.ts'), PROBE);
  await build({
    root: folder,
    configFile: false,
    logLevel: 'error',
    resolve: { mainFields: ['module', 'jsnext:main', 'main'] },
    ssr: { noExternal: [/@tensorflow\//] },
    build: { ssr: 'probe.ts', outDir: 'out/main', minify: false, target: 'node24' },
  });
  await promisify(execFile)(process.execPath, [join(folder, 'out/main/probe.js')], { cwd: folder });
  answer = JSON.parse(readFileSync(join(folder, 'answer.json'), 'utf8'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('shows the block in the palette, with its card in both languages', () => {
  const card = answer.cards.find(({ id }) => id === 'fading_sum');
  expect(card).toMatchObject({ role: 'mixer', title: 'Fading sum', summary: 'A sum of all tokens that fades.' });
  expect(card?.translations?.ru?.title).toBe('Угасающая сумма');
  expect(Object.keys(card!.options)).toEqual(['keep']);
});

it('checks, counts, trains and decodes a model of it', () => {
  expect(answer.problems).toEqual([]);
  expect(answer.parameters[0]).toBe(answer.parameters[1]);
  expect(answer.loss).toBeCloseTo(Math.log(7), 1);
  expect(answer.gradients).toBe(true);
  expect(answer.off).toBeLessThan(1e-6); // two orders of float32 sums
});

it('touched nothing else: the other blocks are those of the lab', async () => {
  const { cards } = await import('../../src-main/blocks');
  expect(answer.cards.map(({ id }) => id).filter((id) => id !== 'fading_sum')).toEqual(cards().map(({ id }) => id));
});
