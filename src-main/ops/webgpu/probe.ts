// What a GPU is and what it could do at most: its facts, its rate of multiply-adds between registers, its rate of copying.
import source from '../../../kernels/core/peak.wgsl?raw';
import type { GpuFacts } from '../../spec/device';

/** A measurement is long enough to trust from here on. */
const ENOUGH_MS = 40;
const GROUPS = 4096;
/** A lane of a round: 8 strands of 4 numbers, a product and a sum each. 64 lanes a workgroup, as the shader says. */
const FLOP = 64 * 8 * 4 * 2;
const COPIED_BYTES = 64 * 2 ** 20;

export function gpuFacts(adapter: GPUAdapter): GpuFacts {
  const { limits, features, info } = adapter;
  const { subgroupMinSize, subgroupMaxSize } = info as GPUAdapterInfo & Record<string, number | undefined>;
  return {
    name: info.description || info.device || 'unnamed adapter',
    vendor: [info.vendor, info.architecture].filter(Boolean).join(' ') || 'unknown',
    f16: features.has('shader-f16'),
    subgroups: features.has('subgroups') ? [subgroupMinSize ?? 0, subgroupMaxSize ?? 0] : null,
    bufferBytes: limits.maxStorageBufferBindingSize,
    workgroupBytes: limits.maxComputeWorkgroupStorageSize,
    invocations: limits.maxComputeInvocationsPerWorkgroup,
    storageBuffers: limits.maxStorageBuffersPerShaderStage,
  };
}

/** GFLOP/s of float32 multiply-adds, and GB/s of copying, read and written bytes counted both. Takes about half a second. */
export async function measureGpu(device: GPUDevice): Promise<{ gflops: number; gigabytesPerSecond: number }> {
  const flops = await rateOf(device, await multiplyAdds(device));
  const bytes = await rateOf(device, copies(device));
  return { gflops: flops / 1e6, gigabytesPerSecond: bytes / 1e6 };
}

/** Encodes work of so many rounds, and says how much it is. */
type Work = (encoder: GPUCommandEncoder, rounds: number) => number;

/** Work per millisecond: rounds are doubled until they take long enough, then the best of three counts. */
async function rateOf(device: GPUDevice, work: Work): Promise<number> {
  let best = 0;
  let rounds = 1;
  for (let measured = 0; measured < 3; ) {
    const encoder = device.createCommandEncoder();
    const amount = work(encoder, rounds);
    const commands = encoder.finish();
    const start = performance.now();
    device.queue.submit([commands]);
    await device.queue.onSubmittedWorkDone();
    const ms = performance.now() - start;
    if (ms < ENOUGH_MS && rounds < 2 ** 20) {
      rounds *= 2;
      continue;
    }
    best = Math.max(best, amount / ms);
    measured += 1;
  }
  return best;
}

async function multiplyAdds(device: GPUDevice): Promise<Work> {
  const module = device.createShaderModule({ code: source });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
  const out = device.createBuffer({ size: 4 * GROUPS, usage: GPUBufferUsage.STORAGE });
  const count = device.createBuffer({ size: 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  const entries = [out, count].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const bindGroup = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  return (encoder, rounds) => {
    device.queue.writeBuffer(count, 0, Uint32Array.of(rounds, 0, 0, 0));
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(GROUPS);
    pass.end();
    return FLOP * GROUPS * rounds;
  };
}

function copies(device: GPUDevice): Work {
  const size = Math.min(COPIED_BYTES, device.limits.maxBufferSize);
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const [one, other] = [device.createBuffer({ size, usage }), device.createBuffer({ size, usage })];
  return (encoder, rounds) => {
    for (let i = 0; i < rounds; i++) encoder.copyBufferToBuffer(i % 2 ? other : one, 0, i % 2 ? one : other, 0, size);
    return 2 * size * rounds;
  };
}
