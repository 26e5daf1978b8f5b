// For tests: attention over caches of given sizes, as the native kernels and the shaders are compared with the plain loops.
import { sizeOf } from '../core/kernel';
import { draw } from '../core/testing';
import { attentionDecode } from './kernel';
import { plain } from './plain';

interface Sizes {
  B?: number;
  H: number;
  G: number;
  Gv?: number;
  n: number;
  a: number;
  e: number;
  r?: number;
  /** Capacity beyond n, and channels of a key beyond a. */
  room?: number;
  wider?: number;
  scale?: number;
  softCap?: number;
  slopes?: boolean;
  sinks?: boolean;
}
/** Where there is room beyond the n tokens that count, it holds NaN. */
export function setting(sizes: Sizes) {
  const { B = 1, H, G, Gv = G, n, a, e, r = 0, room = 0, wider = 0, scale = 0.3, softCap } = sizes;
  const shapes: Record<string, number[]> = { q: [B, H, a], k: [B, G, n + room, a + wider], v: [B, Gv, n + room, e] };
  if (r) Object.assign(shapes, { qs: [B, H, r], ks: [B, n + room, r] });
  for (const name of ['slopes', 'sinks'] as const) if (sizes[name]) shapes[name] = [H];
  const inputs: Record<string, Float64Array> = { q: draw(B * H * a, 1).map((u) => Math.fround(3 * u)) };
  if (sizes.slopes) inputs.slopes = draw(H, 8).map(Math.abs); // scores fall: rising ones would reach hundreds, and lose digits in any float32
  if (room) {
    shapes.length = [1];
    inputs.length = Float64Array.of(n);
    // What lies past the length is never to be seen.
    for (const name of ['k', 'v', 'ks'].filter((one) => shapes[one])) {
      const width = shapes[name][shapes[name].length - 1];
      inputs[name] = draw(sizeOf(shapes[name]), 9).map((u, i) =>
        Math.floor(i / width) % (n + room) < n ? u : Number.NaN,
      );
    }
  }
  return { forward: attentionDecode, plain, shapes, inputs, attrs: { scale, softCap } };
}
