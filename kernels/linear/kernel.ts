// Several linear maps of one input, x·w_i: the input is read and packed once, and its gradient is one sum. The maps come as weights of their own
// or as one weight whose columns are split.
import { type Attrs, defineKernel, type Kernel, type Shape, type Shapes, sizeOf } from '../core/kernel';

const each = (count: number, prefix: string): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
const out = (x: Shape, columns: number): Shape => [...x.slice(0, -1), columns];
/** Rows, inputs, number of maps, then the columns of each. */
const numbers = (x: Shape, columns: readonly number[]): number[] => [
  sizeOf(x.slice(0, -1)),
  x[x.length - 1],
  columns.length,
  ...columns,
];
const named = <T>(names: readonly string[], values: readonly T[]): Record<string, T> =>
  Object.fromEntries(names.map((name, i) => [name, values[i]]));

/** x [.., D] and weights w0, w1 .. [D, N_i] to y_i [.., N_i] = x · w_i. */
function linear(count: number): Kernel[] {
  const [weights, results, slopes] = [each(count, 'w'), each(count, 'y'), each(count, 'dy')];
  const columns = (shapes: Shapes) => weights.map((name) => shapes[name][1]);
  return [
    defineKernel({
      name: `Linear${count}`,
      inputs: ['x', ...weights],
      outputs: (shapes) =>
        named(
          results,
          columns(shapes).map((n) => out(shapes.x, n)),
        ),
      ints: (shapes) => numbers(shapes.x, columns(shapes)),
      refuses: ({ x, ...rest }) => {
        const D = x[x.length - 1];
        const wrong = weights.find((name) => rest[name].length !== 2 || rest[name][0] !== D || rest[name][1] < 1);
        if (!wrong) return sizeOf(x) > 0 ? undefined : 'x is empty';
        return `${wrong} [${rest[wrong]}] does not take the ${D} channels of x [${x}]`;
      },
      gradient: {
        kernel: `Linear${count}Grad`,
        inputs: ['x', ...weights],
        outputs: [],
        cotangents: results,
        of: ['x', ...weights],
      },
    }),
    defineKernel({
      name: `Linear${count}Grad`,
      inputs: ['x', ...weights, ...slopes],
      outputs: (shapes) => ({ dx: shapes.x, ...Object.fromEntries(weights.map((name) => [`d${name}`, shapes[name]])) }),
      ints: (shapes) => numbers(shapes.x, columns(shapes)),
    }),
  ];
}

const widths = (attrs: Attrs): number[] => attrs.columns as number[];

/** x [.., D] and w [D, N] to y_i [.., N_i], the columns of x · w in order. Attribute: `columns`, the N_i. */
function splitLinear(count: number): Kernel[] {
  const [results, slopes] = [each(count, 'y'), each(count, 'dy')];
  return [
    defineKernel({
      name: `SplitLinear${count}`,
      inputs: ['x', 'w'],
      outputs: ({ x }, attrs) =>
        named(
          results,
          widths(attrs).map((n) => out(x, n)),
        ),
      ints: ({ x }, attrs) => numbers(x, widths(attrs)),
      refuses: ({ x, w }, attrs) => {
        const columns = widths(attrs);
        const sum = columns.reduce((a, b) => a + b, 0);
        if (columns.length !== count || columns.some((n) => n < 1) || w.length !== 2 || sum !== w[1])
          return `the columns ${columns} are not ${count} parts of w [${w}]`;
        if (w[0] !== x[x.length - 1]) return `w [${w}] does not take the channels of x [${x}]`;
        return sizeOf(x) > 0 ? undefined : 'x is empty';
      },
      gradient: {
        kernel: `SplitLinear${count}Grad`,
        inputs: ['x', 'w'],
        outputs: [],
        cotangents: results,
        of: ['x', 'w'],
      },
    }),
    defineKernel({
      name: `SplitLinear${count}Grad`,
      inputs: ['x', 'w', ...slopes],
      outputs: ({ x, w }) => ({ dx: x, dw: w }),
      ints: ({ x }, attrs) => numbers(x, widths(attrs)),
    }),
  ];
}

/** Maps that one call may have: as many as kMostTerms in ../core/product.h. */
export const COUNTS = [2, 3, 4] as const;

export const kernels: Kernel[] = COUNTS.flatMap((count) => [...linear(count), ...splitLinear(count)]);
