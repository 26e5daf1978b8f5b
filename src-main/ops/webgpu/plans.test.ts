// Every entry point of kernels/ on Dawn's null adapter, which checks and runs nothing: what every device grants suffices for it, whatever the adapter
// of this machine can do, and its text for a device with subgroups and 16-bit floats holds too.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GpuPlans, type Grants, LEAST } from '../../../kernels/core/plan';
import { variablesOf } from './shader';
import { moduleOf } from './sources';

const found = import.meta.glob<GpuPlans>('../../../kernels/*/gpu.ts', { eager: true, import: 'gpu' });
const passes = Object.entries(found).flatMap(([file, plans]) =>
  Object.entries(plans).flatMap(([kernel, plan]) =>
    plan.passes.map((pass) => ({ kernel, pass, folder: file.slice(0, -'gpu.ts'.length) })),
  ),
);
const MOST: Grants = { subgroups: true, half: 'f16', invocations: 256 };
/** Of rows so long that a workgroup takes all the lanes that it gets. */
const LONG = Array<number>(24).fill(65536);

describe.each([
  { title: 'least', grants: LEAST },
  { title: 'most', grants: MOST },
])('under the $title grants', ({ grants }) => {
  const modules = new Map<string, GPUShaderModule>();
  let gpu: GPU;
  let device: GPUDevice;
  beforeAll(async () => {
    const { create, globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    gpu = create(['backend=null']);
    const adapter = (await gpu.requestAdapter())!;
    // Without more asked for, Dawn holds all to the limits and the language that every device has.
    const features: GPUFeatureName[] = grants === LEAST ? [] : ['shader-f16', 'subgroups'];
    device = await adapter.requestDevice({ requiredFeatures: features });
    device.onuncapturederror = ({ error }) => {
      throw error;
    };
  });

  // Dawn's devices end with the instance that they came from.
  afterAll(() => expect(gpu.wgslLanguageFeatures.size).toBeGreaterThan(0));

  it.each(passes)('$kernel: $pass.entry takes at most eight buffers and compiles', async ({ pass, folder }) => {
    const code = moduleOf(folder, grants);
    const variables = variablesOf(code, pass.entry);
    expect(variables.length).toBeLessThanOrEqual(8);
    expect(new Set(variables.map(({ binding }) => binding)).size).toBe(variables.length);
    const names = variables.map(({ name }) => name);
    for (const name of Object.keys(pass.bind ?? {})) expect(names).toContain(name);
    const module = modules.get(folder) ?? device.createShaderModule({ code });
    modules.set(folder, module);
    const constants = typeof pass.constants === 'function' ? pass.constants(LONG, grants) : pass.constants;
    const compute = { module, entryPoint: pass.entry, constants };
    const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute });
    // What `variablesOf` reads out of the text is what the compiler finds: a bind group of it fits.
    const buffer = device.createBuffer({ size: 256, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM });
    const entries = [0, ...variables.map(({ binding }) => binding)].map((binding) => ({
      binding,
      resource: { buffer },
    }));
    device.pushErrorScope('validation');
    device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    expect((await device.popErrorScope())?.message).toBeUndefined();
  });
});
