// What the processor could do at most: multiply-adds between registers, measured.
import { nativeBackend } from './native/register';

const LANES: Record<string, number> = { amx: 16, avx512bf16: 16, avx512: 16, avx2: 8 };
const ROUNDS = 4_000_000;

/**
 * GFLOP/s of pure multiply-adds on `threads` threads (at most as many as the device uses); undefined without native kernels, and for bfloat16 on
 * processors without an instruction for it. Takes about 0.1 s, with fewer `rounds` less. AMX tiles have no probe.
 */
export function measurePeak(
  threads: number,
  precision: 'float32' | 'bfloat16' = 'float32',
  rounds = ROUNDS,
): number | undefined {
  const native = nativeBackend();
  const kernel = precision === 'float32' ? 'FmaPeak' : 'PairPeak';
  if (!native?.has(kernel) || (kernel === 'PairPeak' && native.addon.isa === 'amx')) return undefined;
  const out = native.make([threads], 'float32');
  const flop = (precision === 'float32' ? 1 : 2) * 2 * 16 * (LANES[native.addon.isa] ?? 4) * rounds * threads;
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    native.run(kernel, [], [out], [rounds, threads]);
    best = Math.min(best, performance.now() - start);
  }
  native.disposeData(out.dataId);
  return flop / best / 1e6;
}

/** Bytes that one measurement moves at the least, so that a clock of 0.1 ms sees it. */
const MOVED = 2 ** 26;

/**
 * Bytes a second (in 1e9) that vectors move through `bytes` of memory, again and again: 'read' sums up one array, 'copy' reads one half and writes the
 * other. Small ones stay in the caches, so this is the roof of a kernel that works on as many bytes. Undefined without native kernels.
 */
export function measureBandwidth(bytes: number, way: 'read' | 'copy', samples = 5): number | undefined {
  const native = nativeBackend();
  if (!native?.has('ReadPeak')) return undefined;
  const floats = Math.max(1, Math.floor(bytes / (way === 'read' ? 4 : 8)));
  const part = Math.max(4096, Math.ceil(floats / 64));
  const x = native.make([floats], 'float32');
  const y = native.make([way === 'read' ? Math.ceil(floats / part) : floats], 'float32');
  const fill = (of: typeof x) => native.run('Fill', [], [of], [of.shape[0]], [1]);
  fill(x);
  fill(y);
  const times = Math.max(1, Math.ceil(MOVED / bytes));
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < samples; i++) {
    const start = performance.now();
    for (let k = 0; k < times; k++) native.run(way === 'read' ? 'ReadPeak' : 'CopyPeak', [x], [y], [floats, part]);
    best = Math.min(best, performance.now() - start);
  }
  native.disposeData(x.dataId);
  native.disposeData(y.dataId);
  return (times * bytes) / best / 1e6;
}
