// What the processor could do at most: multiply-adds between registers, measured.
import { nativeBackend } from './native/register';

const LANES: Record<string, number> = { avx512: 16, avx2: 8 };
const ROUNDS = 4_000_000;

/** GFLOP/s of pure multiply-adds on `threads` threads (at most as many as the device uses); undefined without native kernels. Takes about 0.1 s. */
export function measurePeak(threads: number): number | undefined {
  const native = nativeBackend();
  if (!native) return undefined;
  const out = native.make([threads], 'float32');
  const flop = 2 * 16 * (LANES[native.addon.isa] ?? 4) * ROUNDS * threads;
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    native.run('FmaPeak', [], [out], [ROUNDS, threads]);
    best = Math.min(best, performance.now() - start);
  }
  native.disposeData(out.dataId);
  return flop / best / 1e6;
}
