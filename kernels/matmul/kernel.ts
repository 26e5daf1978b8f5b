// Products of matrices in batches, as devices without the native kernels call them: all transposes, bias and activation in one pass.
import { type Attrs, defineKernel, type Kernel, type Shapes, sizeOf } from '../core/kernel';

/** What may be done to the result, by its number in the shader. */
export const activations = ['linear', 'relu', 'relu6', 'elu', 'sigmoid'] as const;

/** [rows, columns] of the last two axes, the other way round where they are read transposed. */
const matrix = (shape: readonly number[], transposed: boolean): [number, number] => {
  const [rows, columns] = shape.slice(-2);
  return transposed ? [columns, rows] : [rows, columns];
};

const sizes = ({ a, b }: Shapes, { transposeA, transposeB }: Attrs) => {
  const [m, k] = matrix(a, transposeA === true);
  const [kOfB, n] = matrix(b, transposeB === true);
  const [batchA, batchB] = [sizeOf(a.slice(0, -2)), sizeOf(b.slice(0, -2))];
  return { m, k, kOfB, n, batchA, batchB, batch: batchA === 1 ? batchB : batchA };
};

/**
 * a [.., m, k] or, with `transposeA`, [.., k, m], times b [.., k, n] or, with `transposeB`, [.., n, k], plus bias [n], to product [batch, m, n].
 * A batch of one serves all matrices of the other. Attributes: `transposeA`, `transposeB`, `activation` (one of `activations`; default linear),
 * `rounded` (default false): a and b are rounded to bfloat16 first, to nearest even; sums stay float32.
 */
export const product = defineKernel({
  name: 'MatMulBatch',
  inputs: ['a', 'b', 'bias?'],
  outputs: (shapes, attrs) => {
    const { batch, m, n } = sizes(shapes, attrs);
    return { product: [batch, m, n] };
  },
  /** batch, m, n, k; then steps: of a per matrix, row and inner index, of b per matrix, inner index and column; the activation's number; rounded. */
  ints: (shapes, attrs) => {
    const { batch, batchA, batchB, m, n, k } = sizes(shapes, attrs);
    const a = [batchA === 1 ? 0 : m * k, ...(attrs.transposeA === true ? [1, m] : [k, 1])];
    const b = [batchB === 1 ? 0 : k * n, ...(attrs.transposeB === true ? [1, k] : [n, 1])];
    const activation = activations.indexOf((attrs.activation ?? 'linear') as 'linear');
    return [batch, m, n, k, ...a, ...b, activation, Number(attrs.rounded === true)];
  },
  refuses: (shapes, attrs) => {
    if (shapes.a.length < 2 || shapes.b.length < 2) return `a [${shapes.a}] and b [${shapes.b}] must be matrices`;
    const { batchA, batchB, k, kOfB, n } = sizes(shapes, attrs);
    if (k !== kOfB) return `a [${shapes.a}] has ${k} inner numbers, b [${shapes.b}] has ${kOfB}`;
    if (batchA !== batchB && batchA !== 1 && batchB !== 1) return `batches of ${batchA} and ${batchB} matrices differ`;
    if (shapes.bias && String(shapes.bias) !== String([n])) return `bias must be [${n}], not [${shapes.bias}]`;
    if (!activations.includes((attrs.activation ?? 'linear') as 'linear'))
      return `activation ${attrs.activation} is none of ${activations.join(', ')}`;
    return undefined;
  },
});

export const kernels: Kernel[] = [product];
