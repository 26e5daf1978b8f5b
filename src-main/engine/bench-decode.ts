// Decoding token by token at growing contexts: time a token, beside the bytes that it must read.
import type { Tensor1D } from '@tensorflow/tfjs-core';
import { kernelTimes, servesHalves, tf } from '../ops';
import { benchModel, CONFIGS, DECODABLE, type Precision, tokenIds, VOCABULARY } from './bench-models';
import { roof } from './bench-peaks';
import { type Row, spread } from './bench-rows';
import { type Asked, open, taken, type Work } from './bench-work';
import { buildModel, type Model } from './build';
import { inspect } from './cost';
import { type DecodeState, disposeState, stateBytesOf } from './decode';

const BATCH = 1;
const WARM = 6; // tokens until a captured step is played back
const MOST = 400;
const NOTE = 'the state before the first measured token holds drawn numbers of the shapes it has after the context';

/** Steps from a state that stands as after `context` tokens, until `seconds` are over. */
async function decode(model: Model, context: number, seconds: number) {
  const ids = tokenIds(MOST + WARM);
  let state: DecodeState = model.stateAfter(BATCH, context, (shape) => tf.randomUniform(shape, 0.1, 1));
  const times: number[] = [];
  const stateBytes = stateBytesOf(state);
  let cpu = process.cpuUsage();
  let end = Number.POSITIVE_INFINITY;
  const one = async (id: number) => {
    const token = tf.tensor1d([id], 'int32') as Tensor1D;
    const start = performance.now();
    const done = model.step(token, state);
    state = done.state;
    await done.logits.data();
    const ms = performance.now() - start;
    tf.dispose([token, done.logits]);
    return ms;
  };
  try {
    for (let i = 0; i < WARM; i++) await one(ids[i]);
    const kernels = kernelTimes();
    cpu = process.cpuUsage();
    end = performance.now() + seconds * 1000;
    while (times.length < 3 || (times.length < MOST && performance.now() < end))
      times.push(await one(ids[WARM + times.length]));
    const { user, system } = process.cpuUsage(cpu);
    const captured = state.played > 0;
    const whole = times.reduce((a, b) => a + b, 0);
    const shares = [...kernelTimes()]
      .map(([name, ms]): [string, number] => [name, (100 * (ms - (kernels.get(name) ?? 0))) / whole])
      .filter(([, share]) => share > 0)
      .sort(([, a], [, b]) => b - a);
    return {
      kernelPercent: shares.length ? Object.fromEntries(shares) : undefined,
      times,
      stateBytes,
      captured,
      cpuUsPerToken: (user + system) / times.length,
    };
  } finally {
    disposeState(state);
  }
}

async function measure(asked: Asked, config: string, block: string, precision: Precision): Promise<Row[]> {
  const facts = await open(asked, precision);
  const halves = servesHalves();
  const size = CONFIGS[config];
  const spec = benchModel(block, size);
  const rows: Row[] = [];
  const model = buildModel(spec, { vocabulary: VOCABULARY, tokens: size.tokens, seed: 1 });
  try {
    for (const context of asked.contexts) {
      const { times, stateBytes, captured, cpuUsPerToken, kernelPercent } = await decode(model, context, asked.seconds);
      const usPerToken = spread(times.map((ms) => 1000 * ms));
      const bytesPerToken = (halves ? 2 : 4) * model.parameters + BATCH * stateBytes;
      const bandwidth = asked.device === 'cpu' ? roof(bytesPerToken, 'read', facts.threads) : undefined;
      const floorUs = bandwidth ? bytesPerToken / bandwidth / 1e3 : null;
      rows.push({
        kind: 'decode',
        ...taken(facts, precision),
        config,
        block,
        context,
        batch: BATCH,
        captured,
        usPerToken,
        cpuUsPerToken,
        ...(kernelPercent && { kernelPercent }),
        bytesPerToken,
        floorUs,
        floorShare: floorUs === null ? null : floorUs / usPerToken.median,
        stateBytes,
        modelStateBytes: inspect(spec, {
          tokens: context,
          vocabulary: VOCABULARY,
          caches: halves ? 'bfloat16' : 'float32',
        }).total.stateBytes,
        note: NOTE,
      });
    }
  } finally {
    model.dispose();
  }
  return rows;
}

/** Every block that decodes, at M if it is among the sizes, else at the first of them. */
export function decoding(asked: Asked): Work[] {
  const config = asked.configs.includes('M') ? 'M' : asked.configs[0];
  return asked.blocks
    .filter((block) => DECODABLE.includes(block))
    .flatMap((block) =>
      (asked.brief ? asked.precisions.slice(0, 1) : asked.precisions).map((precision) => ({
        label: `${config} ${block} decoding, ${precision}`,
        seconds: asked.contexts.length * (asked.seconds + 0.5),
        run: () => measure(asked, config, block, precision),
      })),
    );
}
