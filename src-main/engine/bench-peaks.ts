// The roofs: multiply-adds a second by precision, and bytes a second through memory of several sizes.
import { measureBandwidth, measurePeak } from '../ops';
import { PRECISIONS } from './bench-models';
import { type Row, spread } from './bench-rows';
import { type Asked, open, taken, type Work } from './bench-work';

const KIB = 1024;
/** First-level cache, second, third, memory. */
const SIZES = [16 * KIB, 512 * KIB, 4 * KIB ** 2, 32 * KIB ** 2, 256 * KIB ** 2];

/** Probes on one thread and on all; nothing without native kernels. */
export function peaks(asked: Asked): Work[] {
  const run = async () => {
    const facts = await open(asked);
    const rows: Row[] = [];
    for (const threads of facts.threads > 1 ? [1, facts.threads] : [1]) {
      const at = { ...facts, threads };
      for (const precision of PRECISIONS) {
        const rates = [0, 0, 0].map(() => measurePeak(threads, precision));
        if (rates[0] !== undefined)
          rows.push({ kind: 'peak', ...taken(at, precision), gflops: spread(rates as number[]) });
      }
    }
    for (const threads of facts.threads > 1 ? [1, facts.threads] : [1]) {
      const at = await open(asked, 'float32', threads);
      for (const bytes of SIZES)
        for (const way of ['read', 'copy'] as const) {
          const gigabytesPerSecond = measureBandwidth(bytes, way);
          if (gigabytesPerSecond === undefined) continue;
          rows.push({ kind: 'bandwidth', ...taken(at, 'float32'), way, bytes, gigabytesPerSecond });
        }
    }
    await open(asked);
    return rows;
  };
  return [{ label: 'peaks', seconds: 6, run }];
}

const roofs = new Map<string, number | undefined>();

/** Bandwidth through about `bytes` of memory on as many threads as the device uses now; each power of two is measured once. */
export function roof(bytes: number, way: 'read' | 'copy', threads: number): number | undefined {
  const size = 2 ** Math.min(28, Math.max(12, Math.round(Math.log2(bytes))));
  const key = `${way} ${size} ${threads}`;
  if (!roofs.has(key)) roofs.set(key, measureBandwidth(size, way, 3));
  return roofs.get(key);
}
