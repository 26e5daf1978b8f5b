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
