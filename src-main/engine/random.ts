// Seeded numbers: one stream for each (seed, name), so that what is drawn for one weight does not depend on any other.
import type { Draw } from '../blocks/define';

/** Scrambles 32 bits: the finaliser of MurmurHash3. */
function scramble(x: number): number {
  let h = x;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Four words of state from a seed and a name: FNV-1a over the UTF-16 units, from four different starts. */
function words(seed: number, name: string): [number, number, number, number] {
  const hash = (start: number) => {
    let h = (start ^ scramble(seed)) >>> 0;
    for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193) >>> 0;
    return scramble(h);
  };
  return [hash(0x811c9dc5), hash(0x9e3779b9), hash(0x7f4a7c15), hash(0x2545f491)];
}

/** The stream of (seed, name): the small fast counting generator sfc32 (Doty-Humphrey, PractRand). */
export function drawing(seed: number, name: string): Draw {
  let [a, b, c, counter] = words(seed, name);
  const next = () => {
    const sum = (a + b + counter) >>> 0;
    counter = (counter + 1) >>> 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) >>> 0;
    c = (((c << 21) | (c >>> 11)) + sum) >>> 0;
    return sum;
  };
  for (let i = 0; i < 12; i++) next(); // mixes the words
  let spare: number | undefined;
  const uniform = () => (next() * 0x200000 + (next() >>> 11)) / 2 ** 53;
  return {
    uniform,
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
  };
}
