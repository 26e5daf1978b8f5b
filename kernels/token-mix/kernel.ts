// Blends of each token with the one before it, several with shares of their own in one pass: the token shift of RWKV.
import { type Attrs, defineKernel, type Kernel, type Shape, type Shapes, sizeOf } from '../core/kernel';

const each = (count: number, prefix: string): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
const alike = (names: readonly string[], shape: Shape): Record<string, Shape> =>
  Object.fromEntries(names.map((name) => [name, shape]));

/** Which of the two tokens a share weighs: y = x + (before − x) · w, or y = before + (x − before) · w. */
export type Weighs = 'before' | 'current';

const ints =
  (count: number) =>
  ({ x: [B, T, D] }: Shapes, { weighs }: Attrs): number[] => [B, T, D, count, weighs === 'current' ? 1 : 0];

/**
 * x [B, T, D] and shares w0, w1 .. [D] to y_i [B, T, D]. `before` [B, D] is the token before the first, zeros where it is absent; it gets no gradient.
 * Attribute: `weighs`.
 */
function tokenMix(count: number): Kernel[] {
  const [shares, results, slopes] = [each(count, 'w'), each(count, 'y'), each(count, 'dy')];
  return [
    defineKernel({
      name: `TokenMix${count}`,
      inputs: ['x', 'before?', ...shares],
      outputs: ({ x }) => alike(results, x),
      ints: ints(count),
      refuses({ x, before, ...rest }, { weighs }) {
        if (weighs !== 'before' && weighs !== 'current')
          return `weighs must be before or current, not ${String(weighs)}`;
        if (x.length !== 3) return `x must be [batch, tokens, channels], not [${x.join(', ')}]`;
        const [B, , D] = x;
        if (before && (before.length !== 2 || before[0] !== B || before[1] !== D))
          return `before is [${before}], and [${B}, ${D}] fits x [${x}]`;
        const wrong = shares.find((name) => sizeOf(rest[name]) !== D);
        return wrong && `${wrong} has ${sizeOf(rest[wrong])} entries, x has ${D} channels`;
      },
      gradient: {
        kernel: `TokenMix${count}Grad`,
        inputs: ['x', 'before', ...shares],
        outputs: [],
        cotangents: results,
        of: ['x', ...shares],
      },
    }),
    defineKernel({
      name: `TokenMix${count}Grad`,
      inputs: ['x', 'before?', ...shares, ...slopes],
      outputs: (shapes) => ({ dx: shapes.x, ...Object.fromEntries(shares.map((name) => [`d${name}`, shapes[name]])) }),
      ints: ints(count),
    }),
  ];
}

/** Blends that one call may make. */
export const COUNTS = [1, 2, 3, 4, 5, 6] as const;

export const kernels: Kernel[] = COUNTS.flatMap(tokenMix);
