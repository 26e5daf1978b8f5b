// The benchmark's own arithmetic and shape; its figures are for `npm run bench`.
import { expect, it } from 'vitest';
import { BLOCKS, benchModel, CONFIGS, runBench } from './bench';
import { measureKernels } from './bench-kernels';

it('measures the models that it names', () => {
  for (const size of Object.values(CONFIGS)) {
    expect(size.tokens * size.batch).toBe(2048);
    const [group] = benchModel('softmax_attention', size).layers;
    expect(group).toMatchObject({
      repeat: size.layers,
      layers: [{ options: { heads: size.width / size.headDim } }, {}],
    });
  }
});

it('gives tokens a second with median, least and most, for each block', { timeout: 120_000 }, async () => {
  const lines: string[] = [];
  const result = await runBench({
    configs: ['S'],
    seconds: 2,
    reference: false,
    kernels: false,
    onLine: (line) => lines.push(line),
  });
  expect(result.steps.map(({ block }) => block)).toEqual([...BLOCKS]);
  for (const { tokensPerSecond, stepMs, tokensPerStep, parameters } of result.steps) {
    expect(tokensPerSecond.min).toBeLessThanOrEqual(tokensPerSecond.median);
    expect(tokensPerSecond.median).toBeLessThanOrEqual(tokensPerSecond.max);
    expect(tokensPerSecond.max).toBeCloseTo((tokensPerStep * 1000) / stepMs.min, 3);
    expect(parameters).toBeGreaterThan(500_000);
  }
  for (const { computed, workingBytes, javascriptPercent, kernelPercent } of result.steps) {
    expect(javascriptPercent).toBeLessThan(computed!.javascriptPercent);
    expect(Object.values(kernelPercent!).reduce((a, b) => a + b, javascriptPercent!)).toBeCloseTo(100, 6);
    expect(workingBytes!.captured).toBeLessThan(workingBytes!.computed);
  }
  expect(lines.join('\n')).toMatch(/S mamba2 on cpu: .* tokens\/s/);
  expect(JSON.parse(JSON.stringify(result))).toEqual(result);
});

it('sets single kernels beside the peak, in both precisions, on one thread and on all', async () => {
  const heard: string[] = [];
  const results = await measureKernels({ threads: 2, ms: 0, only: /^128³|attention M/ }, ({ name }) =>
    heard.push(name),
  );
  expect(heard).toEqual(results.map(({ name }) => name));
  const rows = (['float32', 'bfloat16'] as const).flatMap((precision) =>
    [1, 2].flatMap((threads) =>
      ['product', 'forward', 'backward'].map((pass) => expect.objectContaining({ precision, threads, pass })),
    ),
  );
  expect(results).toEqual(rows);
  for (const { gflops, share } of results.filter(({ precision }) => precision === 'float32')) {
    expect(gflops).toBeGreaterThan(0);
    expect(share).toBeGreaterThan(0);
  }
});

it('refuses a configuration that it does not have', async () => {
  await expect(runBench({ configs: ['XXL'] })).rejects.toThrow('unknown configuration XXL; there are S, M, L');
});
