// Where in one stretch of memory each buffer of a step lies: those that are never needed together share their bytes.

export interface Span {
  bytes: number;
  /** First and last call that touches it. */
  first: number;
  last: number;
}

const ALIGN = 64; // a cache line, and the widest vector

/** Offsets in bytes, multiples of 64, and how many bytes there must be. The largest come first, each into the tightest gap that is free for its time. */
export function planMemory(spans: readonly Span[]): { offsets: number[]; bytes: number } {
  const offsets = new Array<number>(spans.length).fill(0);
  const order = [...spans.keys()].sort((a, b) => spans[b].bytes - spans[a].bytes || spans[a].first - spans[b].first);
  const placed: { offset: number; end: number; span: Span }[] = []; // by offset
  let bytes = 0;
  for (const i of order) {
    const span = spans[i];
    const size = Math.max(ALIGN, Math.ceil(span.bytes / ALIGN) * ALIGN);
    let best = -1;
    let bestGap = Number.POSITIVE_INFINITY;
    let free = 0; // where the memory behind all that lies before begins
    for (const { offset, end, span: other } of placed) {
      if (other.last < span.first || other.first > span.last) continue;
      const gap = offset - free;
      if (gap >= size && gap < bestGap) {
        best = free;
        bestGap = gap;
      }
      free = Math.max(free, end);
    }
    if (best < 0) best = free;
    offsets[i] = best;
    bytes = Math.max(bytes, best + size);
    const entry = { offset: best, end: best + size, span };
    const at = placed.findIndex(({ offset }) => offset > best);
    placed.splice(at < 0 ? placed.length : at, 0, entry);
  }
  return { offsets, bytes };
}
