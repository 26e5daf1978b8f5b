// Attention of one new token over a cache that is filled up to a length given as a tensor, and the write of a token into such a cache.
import { defineKernel, type Kernel, type Shape, type Shapes, sizeOf, wordsOf } from '../core/kernel';

/** Rows of a cache [.., tokens, width] and how many of them lie in a stretch. */
const outerOf = (cache: readonly number[]): number => sizeOf(cache.slice(0, -2));

/**
 * q [B, H, a], k [B, G, n, at least a], v [B, Gv, n, e] to o [B, H, e]: Σ_s softmax_s(scale · (q·k[s] + qs·ks[s])) v[s] over the first `length` [1]
 * tokens (absent: all of v's). Query head h reads key group floor(h·G/H) and value group floor(h·Gv/H); of a wider key only the first a channels count.
 * qs [B, H, r] and ks [B, n, r], together or not at all, are a part of the scores that all groups share. The caches may differ in capacity.
 * Attributes: `scale`; `softCap` c > 0 makes a score c·tanh(score / c). Then slopes [H] take slope · distance to the newest token from it. sinks [H] are
 * scores of one more token, which is worth nothing.
 */
export const attentionDecode = defineKernel({
  name: 'AttentionDecode',
  inputs: ['q', 'k', 'v', 'qs?', 'ks?', 'slopes?', 'sinks?', 'length?'],
  dtypes: { length: 'int32' },
  outputs: ({ q, v }) => ({ o: [q[0], q[1], v[3]] }),
  ints: ({ q, k, v, qs, ks }: Shapes) => [
    q[0], // B
    q[1], // H
    k[1], // G
    v[1], // Gv
    k[2], // capacities
    v[2],
    ks?.[1] ?? 0,
    q[2], // a
    k[3],
    v[3], // e
    qs?.[2] ?? 0, // r
  ],
  floats: ({ scale, softCap }) => [Number(scale), Number(softCap ?? 0)],
  refuses({ q, k, v, qs, ks, slopes, sinks, length }, { scale }) {
    if (q.length !== 3) return `q must be [batch, heads, width], not [${q.join(', ')}]`;
    for (const [name, shape] of Object.entries({ k, v }))
      if (shape.length !== 4 || shape[0] !== q[0])
        return `${name} must be [${q[0]}, groups, tokens, width] to go with q [${q}], not [${shape.join(', ')}]`;
    if (k[3] < q[2]) return `keys of ${k[3]} channels are narrower than the queries' ${q[2]}`;
    if (q[1] % k[1] !== 0 || q[1] % v[1] !== 0) return `${k[1]} and ${v[1]} groups must both divide ${q[1]} heads`;
    if (Math.max(k[1], v[1]) % Math.min(k[1], v[1]) !== 0)
      return `of ${k[1]} and ${v[1]} groups one must divide the other`;
    if ((qs === undefined) !== (ks === undefined)) return 'qs and ks come together or not at all';
    if (qs && ks && (String(qs.slice(0, 2)) !== String(q.slice(0, 2)) || ks[0] !== q[0] || ks[2] !== qs[2]))
      return `qs [${qs}] and ks [${ks}] must go with q [${q}] and with each other`;
    for (const [name, shape] of Object.entries({ slopes, sinks }))
      if (shape && sizeOf(shape) !== q[1]) return `${name} [${shape}] must hold a number for each of ${q[1]} heads`;
    if (length && sizeOf(length) !== 1) return `length must be one number, not [${length}]`;
    if (v[2] < 1 || (!length && (k[2] < v[2] || (ks && ks[1] < v[2])))) return 'there must be a key for each value';
    if (!Number.isFinite(scale)) return `scale must be a finite number, not ${String(scale)}`;
    return undefined;
  },
});

/**
 * The same over caches of bfloat16: k [B, G, n, words], v [B, Gv, n, words] and ks [B, n, words] hold two numbers in a word (kernels/halves). Attribute
 * `valueWidth`: e.
 */
export const attentionDecodeHalves = defineKernel({
  ...attentionDecode,
  name: 'AttentionDecodeHalves',
  dtypes: { k: 'int32', v: 'int32', ks: 'int32', length: 'int32' },
  outputs: ({ q }, { valueWidth }) => ({ o: [q[0], q[1], Number(valueWidth)] }),
  ints: (shapes, attrs) => {
    const { v, ks, ...rest } = numbersOf(shapes);
    const one = { ...rest, v: [...v.slice(0, 3), Number(attrs.valueWidth)], ...(ks && { ks }) };
    return [...attentionDecode.ints(one, attrs), v[3], ks?.[2] ?? 0];
  },
  refuses(shapes, attrs) {
    const given = Object.entries({ k: shapes.k, v: shapes.v });
    for (const [name, shape] of given)
      if (shape.length !== 4) return `${name} must be [batch, groups, tokens, words], not [${shape.join(', ')}]`;
    if (wordsOf(Number(attrs.valueWidth)) !== shapes.v[3])
      return `v [${shapes.v}] does not hold rows of ${attrs.valueWidth} numbers`;
    const { ks, ...rest } = numbersOf(shapes);
    if (ks && shapes.qs && wordsOf(shapes.qs[2]) !== shapes.ks[2])
      return `ks [${shapes.ks}] does not hold rows of ${shapes.qs[2]} numbers`;
    return attentionDecode.refuses!(
      { ...rest, ...(ks && { ks: [...ks.slice(0, 2), shapes.qs?.[2] ?? ks[2]] }) },
      attrs,
    );
  },
});

/** Shapes of caches in numbers, an odd last one counted with what fills its word. */
const numbersOf = ({ k, v, ks, ...rest }: Shapes): Shapes & { k: Shape; v: Shape } => {
  const twice = (shape: Shape): Shape => [...shape.slice(0, -1), 2 * shape[shape.length - 1]];
  return { ...rest, k: twice(k), v: twice(v), ...(ks && { ks: twice(ks) }) };
};

/** cache [.., n, width] with row [.., width], of as many numbers a token, written at token `at` [1]; the others stay. */
export const cacheAppend = defineKernel({
  name: 'CacheAppend',
  inputs: ['cache', 'row', 'at'],
  dtypes: { at: 'int32' },
  outputs: ({ cache }) => ({ cache }),
  ints: ({ cache }) => [outerOf(cache), cache[cache.length - 2], cache[cache.length - 1]],
  inPlace: true,
  refuses({ cache, row, at }) {
    if (cache.length < 2) return `cache must be [.., tokens, width], not [${cache.join(', ')}]`;
    if (sizeOf(row) !== outerOf(cache) * cache[cache.length - 1])
      return `row [${row}] does not hold one token of cache [${cache}]`;
    if (sizeOf(at) !== 1) return `at must be one number, not [${at}]`;
    return undefined;
  },
});

export const kernels: Kernel[] = [attentionDecode, attentionDecodeHalves, cacheAppend];
