// Random numbers that are a pure function of their keys: order, batch size, resume and device cannot change the data.

export interface Stream {
  /** Uniform in [0, 1), 32 bits. */
  uniform(): number;
  /** Standard normal. */
  normal(): number;
  /** A whole number from 0 to n - 1. */
  below(n: number): number;
  /** `count` different whole numbers from `low` to `high` (inclusive), in the order drawn. */
  distinct(count: number, low: number, high: number): number[];
}

/** Hashes keys to 32 bits, with `lane` choosing one of several independent hashes. Multiply-xor rounds as in MurmurHash3. */
function hash(key: string, lane: number): number {
  let h = Math.imul(lane + 1, 0x9e3779b1);
  for (let i = 0; i < key.length; i++) {
    h = Math.imul(h ^ key.charCodeAt(i), 0x85ebca6b);
    h ^= h >>> 13;
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The stream of a list of keys, e.g. `stream('mqar', 1, seed, 'train', row)`. Generator: sfc32 of PractRand, 128 bits of state. */
export function stream(...keys: readonly (string | number)[]): Stream {
  const key = keys.join('\u001f');
  let [a, b, c, counter] = [hash(key, 0), hash(key, 1), hash(key, 2), 1];
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  };
  // The authors' advice: throw away the first draws, so that near keys do not give near numbers.
  for (let i = 0; i < 12; i++) next();
  const uniform = () => next() / 4_294_967_296;
  const below = (n: number) => Math.floor(uniform() * n);
  let spare: number | undefined;
  return {
    uniform,
    below,
    /** Box and Muller's pair of normals, one at a time. */
    normal() {
      if (spare !== undefined) {
        const value = spare;
        spare = undefined;
        return value;
      }
      const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
      const angle = 2 * Math.PI * uniform();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    },
    distinct(count, low, high) {
      const size = high - low + 1;
      if (count > size) throw new RangeError(`internal: ${count} different numbers from ${low} to ${high}`);
      // Fisher-Yates over a table kept only where it differs from the identity.
      const moved = new Map<number, number>();
      return Array.from({ length: count }, (_, i) => {
        const j = i + below(size - i);
        const taken = moved.get(j) ?? j;
        moved.set(j, moved.get(i) ?? i);
        return low + taken;
      });
    },
  };
}

/** A number to tell rows apart by: 53 bits of hash, so that a million rows collide with probability 1e-4. */
export function rowHash(...parts: readonly ArrayLike<number>[]): number {
  let [h, g] = [0x811c9dc5, 0x9747b28c];
  for (const part of parts)
    for (let i = 0; i < part.length; i++) {
      h = Math.imul(h ^ part[i], 0x01000193);
      g = Math.imul((g << 13) | (g >>> 19), 0x1b873593) ^ part[i];
    }
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  g = Math.imul(g ^ (g >>> 16), 0x85ebca6b);
  return (h >>> 0) * 2_097_152 + (g >>> 11);
}
