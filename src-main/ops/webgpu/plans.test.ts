// What every device grants holds for every entry point of kernels/, whatever the adapter of this machine can do: eight storage buffers, 256 lanes.
import { expect, it } from 'vitest';
import type { GpuPlans } from '../../../kernels/core/plan';
import { variablesOf } from './shader';
import { moduleOf } from './sources';

const found = import.meta.glob<GpuPlans>('../../../kernels/*/gpu.ts', { eager: true, import: 'gpu' });
const passes = Object.entries(found).flatMap(([file, plans]) =>
  Object.entries(plans).flatMap(([kernel, plan]) =>
    plan.passes.map((pass) => ({ kernel, pass, code: moduleOf(file.slice(0, -'gpu.ts'.length)) })),
  ),
);

it.each(passes)('$kernel: $pass.entry takes at most eight buffers and 256 lanes', ({ pass, code }) => {
  const variables = variablesOf(code, pass.entry);
  expect(variables.length).toBeLessThanOrEqual(8);
  expect(new Set(variables.map(({ binding }) => binding)).size).toBe(variables.length);
  const names = variables.map(({ name }) => name);
  for (const name of Object.keys(pass.bind ?? {})) expect(names).toContain(name);
  const literal = new RegExp(`@workgroup_size\\((\\d+)\\)\\s*fn ${pass.entry}\\b`).exec(code);
  if (literal) expect(Number(literal[1])).toBeLessThanOrEqual(256);
});
