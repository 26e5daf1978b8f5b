// The benchmark's own arithmetic and shape; its figures are for `npm run bench`.
import { beforeAll, describe, expect, it } from 'vitest';
import { kernels, tf, useDevice, useWasm } from '../ops';
import { BLOCKS, benchModel, CONFIGS, lineOf, type Row, runBench, SECTIONS } from './bench';
import { bytesMoved, flopOfCall } from './bench-flops';
import { DECODABLE } from './bench-models';
import { spread } from './bench-rows';
import { groupOf, steps } from './bench-steps';
import { countsUpTo } from './bench-threads';
import type { Asked } from './bench-work';
import { buildModel } from './build';

type Of<K extends Row['kind']> = Extract<Row, { kind: K }>;

async function rowsOf(options: Parameters<typeof runBench>[0], heard: string[] = []): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of runBench(options, (line) => heard.push(line))) rows.push(row);
  for (const row of rows) {
    expect(JSON.parse(JSON.stringify(row))).toEqual(row);
    expect(lineOf(row)).not.toMatch(/NaN|undefined|Infinity/);
  }
  return rows;
}
const only = <K extends Row['kind']>(rows: Row[], kind: K) => rows.filter((row): row is Of<K> => row.kind === kind);

const quick = { configs: ['S'], seconds: 0.01, threads: 1, blocks: ['softmax_attention'] };

beforeAll(() => useDevice('cpu'));

describe('the models that are measured', () => {
  it('take 2048 tokens a step, in heads of the size', () => {
    for (const size of Object.values(CONFIGS)) {
      expect(size.tokens * size.batch).toBe(2048);
      const [group] = benchModel('softmax_attention', size).layers;
      expect(group).toMatchObject({
        repeat: size.layers,
        layers: [{ options: { heads: size.width / size.headDim } }, {}],
      });
    }
  });

  it('are every placeable block that mixes tokens, and those of them that decode', () => {
    for (const id of ['softmax_attention', 'mamba2', 'hydra', 'matrix_mixer', 'atlas']) expect(BLOCKS).toContain(id);
    for (const id of ['gated_mlp', 'ssd_scan']) expect(BLOCKS).not.toContain(id);
    expect(DECODABLE).toContain('rwkv7');
    expect(DECODABLE).not.toContain('hydra');
    for (const block of BLOCKS)
      buildModel(benchModel(block, CONFIGS.S), { vocabulary: 8, tokens: 128, seed: 1, order: 'any' }).dispose();
  });
});

describe('the arithmetic', () => {
  it('counts operations and bytes of a call by its sizes', () => {
    expect(flopOfCall('MatMul', [2, 3, 5, 7, 0, 0, 0, 0])).toBe(2 * 2 * 3 * 5 * 7);
    expect(flopOfCall('Attention', [1, 4, 4, 2, 2, 8, 8, 0, 0])).toBe(2 * 2 * 16 * 16);
    expect(flopOfCall('Attention', [1, 4, 6, 2, 2, 8, 8, 1, 0, 0])).toBe(2 * 2 * 16 * (3 + 4 + 5 + 6));
    expect(flopOfCall('Attention', [1, 4, 4, 2, 2, 8, 8, 1, 1, 2])).toBe(2 * 2 * 16 * (0 + 1 + 2 + 2));
    expect(flopOfCall('Linear2Grad', [5, 7, 2, 3, 4])).toBe(2 * 2 * 5 * 7 * (3 + 4));
    expect(flopOfCall('SsdScanGrad', [1, 10, 2, 8, 1, 4])).toBe(2 * flopOfCall('SsdScan', [1, 10, 2, 8, 1, 4]));
    expect(flopOfCall('RmsNorm', [10, 4])).toBe(0);
    expect(bytesMoved('StridedCopy', [2, 0, 0, 3, 5, 9, 1, 5, 1])).toEqual({ read: 60, written: 60 });
    expect(bytesMoved('Add', [1, 9])).toBeUndefined();
  });

  it('sorts every kernel into one group, fused mixers into mixer', () => {
    const groups = new Map([...kernels.keys()].map((name) => [name, groupOf(name)]));
    for (const [name, group] of Object.entries({
      Attention: 'mixer',
      SsdScanGrad: 'mixer',
      GatedRmsNormGrad: 'norms',
      CrossEntropy: 'loss',
      AdamW: 'optimiser',
      PackedGatedActivation: 'other',
      ActivationGrad: 'other',
      AddRmsNorm: 'norms',
      LinearCrossEntropyGrad: 'loss',
      Linear2Grad: 'matmul',
      BlockDiagonal: 'matmul',
    }))
      expect(groups.get(name), name).toBe(group);
    expect(groupOf('MatMul')).toBe('matmul');
    expect(groupOf('StridedCopy')).toBe('other');
  });

  it('gives median, least and most', () => {
    expect(spread([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3, samples: 3 });
    expect(spread([4, 1, 2, 3])).toMatchObject({ median: 2.5, samples: 4 });
    expect(countsUpTo(1)).toEqual([1]);
    expect(countsUpTo(6)).toEqual([1, 2, 4, 6]);
  });
});

describe('a run', () => {
  it('measures captured steps in both precisions, with where their time goes', async () => {
    const heard: string[] = [];
    const rows = await rowsOf({ ...quick, only: ['steps'], blocks: ['softmax_attention', 'mamba2'] }, heard);
    expect(only(rows, 'machine')).toHaveLength(1);
    const steps = only(rows, 'step');
    expect(steps.map(({ block, precision }) => `${block} ${precision}`)).toEqual([
      'softmax_attention float32',
      'softmax_attention bfloat16',
      'mamba2 float32',
      'mamba2 bfloat16',
    ]);
    for (const { ms, tokensPerSecond, captured, groups, kernelPercent, parameters, threads, cpuPeakShare } of steps) {
      if (cpuPeakShare !== undefined) expect(cpuPeakShare).toBeGreaterThan(0);
      expect(captured).toBe(true);
      expect(threads).toBe(1);
      expect(parameters).toBeGreaterThan(500_000);
      expect(tokensPerSecond.max).toBeCloseTo(2_048_000 / ms.min, 3);
      expect(Object.values(groups!).reduce((a, b) => a + b)).toBeCloseTo(100, 6);
      expect(Object.values(kernelPercent!).reduce((a, b) => a + b, groups!.javascript)).toBeCloseTo(100, 6);
    }
    expect(steps[0].computedMs!.median).toBeGreaterThan(0);
    expect(steps[1].timesFirst).toBeGreaterThan(0);
    expect(heard).toEqual([
      expect.stringMatching(/^\[1\/2\] S softmax_attention steps; about \d+ (s|min) left$/),
      expect.stringMatching(/^\[2\/2\] S mamba2 steps/),
    ]);
  });

  it('finds the kernels that a step calls and sets them beside their floor', async () => {
    const rows = only(await rowsOf({ ...quick, only: ['kernels'], blocks: ['rwkv7', 'slstm'] }), 'kernel');
    const named = (name: string) => rows.filter((row) => row.name === name);
    for (const name of [
      'Rwkv7Mix',
      'Rwkv7MixGrad',
      'MappedSlstm',
      'MappedSlstmGrad',
      'RmsNorm',
      'CrossEntropyGrad',
      'MatMul',
    ])
      expect(named(name), name).not.toHaveLength(0);
    expect(named('Rwkv7Mix')[0]).toMatchObject({ pass: 'forward', blocks: ['rwkv7'], bound: 'flop' });
    expect(rows.find(({ name }) => /RmsNormGrad$/.test(name))).toMatchObject({
      pass: 'backward',
      blocks: ['rwkv7', 'slstm'],
      bound: 'bytes',
    });
    for (const { floorMs, floorShare, ms, bytes } of rows) {
      expect(floorShare).toBeCloseTo(floorMs / ms.median, 9);
      expect(bytes).toBeGreaterThanOrEqual(2 ** 16);
    }
  });

  it('decodes at each context with the state that the cost model says', async () => {
    const options = {
      ...quick,
      only: ['decode'],
      contexts: [16, 40],
      blocks: ['softmax_attention', 'mamba2', 'hydra'],
    };
    const rows = only(await rowsOf(options), 'decode');
    const names = ['softmax_attention', 'mamba2'].flatMap((block) =>
      ['float32', 'bfloat16'].flatMap((precision) => [16, 40].map((context) => `${block} ${precision} ${context}`)),
    );
    expect(rows.map(({ block, precision, context }) => `${block} ${precision} ${context}`)).toEqual(names);
    for (const { stateBytes, modelStateBytes } of rows) expect(stateBytes).toBe(modelStateBytes);
    const bytes = rows.map(({ stateBytes }) => stateBytes);
    expect(bytes[1]).toBe(2.5 * bytes[0]);
    expect(bytes.slice(2, 4)).toEqual([bytes[0] / 2, bytes[1] / 2]);
    expect(new Set(bytes.slice(4)).size).toBe(1); // a recurrent state does not grow, and stays in float32
  });

  it('follows time and memory over growing lengths', async () => {
    const rows = await rowsOf({ ...quick, only: ['scaling'], lengths: [32, 64, 128] });
    const lengths = only(rows, 'scaling');
    expect(lengths.map(({ tokens }) => tokens)).toEqual([32, 64, 128]);
    for (const { workingBytes } of lengths) expect(workingBytes).toBeGreaterThan(0);
    const [verdict] = only(rows, 'scaling-verdict');
    expect(verdict).toMatchObject({ from: 32, to: 128 });
    // The weights' gradients are the same at each length, so short ones cost a token more.
    expect(verdict.memoryRatio).toBeLessThan(1.05);
  });

  it('probes the machine, threads and products', async () => {
    const rows = await rowsOf({ ...quick, threads: 2, only: ['peak', 'matmul', 'threads'], precisions: ['float32'] });
    for (const { gflops } of only(rows, 'peak')) expect(gflops.median).toBeGreaterThan(1);
    expect(only(rows, 'bandwidth')).toHaveLength(20);
    const [first] = only(rows, 'matmul');
    expect(first).toMatchObject({ m: 128, n: 128, k: 128, threads: 1, precision: 'float32' });
    expect(first.gflops.median).toBeCloseTo((2 * 128 ** 3) / first.ms.median / 1e6, 6);
    expect(only(rows, 'threads').map(({ threads }) => threads)).toEqual([1, 2, 1, 2]);
  });

  it('takes of the steps, briefly, every block at S and M and two at L', async () => {
    await useDevice('cpu');
    const asked: Asked = {
      device: 'cpu',
      threads: 1,
      configs: ['S', 'M', 'L'],
      blocks: BLOCKS,
      precisions: ['float32'],
      seconds: 0.3,
      longest: 12,
      contexts: [],
      lengths: [],
      brief: true,
    };
    const labels = (brief: boolean) => steps({ ...asked, brief }).map(({ label }) => label.split(' ')[0]);
    const count = (list: string[], config: string) => list.filter((one) => one === config).length;
    expect(['S', 'M', 'L'].map((config) => count(labels(true), config))).toEqual([BLOCKS.length, BLOCKS.length, 2]);
    expect(count(labels(false), 'L')).toBe(BLOCKS.length);
  });

  it('leaves out what would take too long, and says so', async () => {
    const rows = await rowsOf({ ...quick, only: ['steps'], longest: 1e-6 });
    expect(rows.slice(1)).toEqual([expect.objectContaining({ kind: 'skipped', what: 'S softmax_attention' })]);
  });

  it('refuses names that it does not have before it measures', async () => {
    await expect(rowsOf({ configs: ['XXL'] })).rejects.toThrow('unknown configuration XXL; there are S, M, L');
    await expect(rowsOf({ only: ['speed'] })).rejects.toThrow(
      `unknown section speed; there are ${SECTIONS.join(', ')}`,
    );
    await expect(rowsOf({ blocks: ['gated_mlp'] })).rejects.toThrow('unknown block gated_mlp');
  });
});

it('opens TF.js’s WASM backend with a gradient of gather', async () => {
  const { note } = await useWasm();
  expect(note).toMatch(/one-hot/);
  const table = tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]);
  const ids = tf.tensor1d([2, 0, 2], 'int32');
  const slope = tf.grad((x) => tf.sum(tf.mul(tf.gather(x, ids), tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]))))(table);
  expect(slope.arraySync()).toEqual([
    [3, 4],
    [0, 0],
    [6, 8],
  ]);
  tf.dispose([table, ids, slope]);
  await useDevice('cpu');
});
