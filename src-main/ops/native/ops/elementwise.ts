// Element by element: functions of one and of two arrays, comparisons, sums of many, choice, conversion.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { Override, Overrides } from '../register';
import { isFloat, isInt, isMovable, planBroadcast, sizeOf } from '../shape';

const unary =
  (name: string, floats: (attrs: Record<string, unknown>) => number[] = () => []): Override =>
  (backend, inputs, attrs) => {
    const x = inputs.x;
    const size = sizeOf(x.shape);
    if (!isFloat(x) || size === 0) return undefined;
    const y = backend.make(x.shape, 'float32');
    backend.run(name, [x], [y], [size], floats(attrs));
    return y;
  };

/** `ints`: the addon has a form for int32, named with `Int` behind. */
const binary =
  (name: string, { ints = false, compares = false } = {}): Override =>
  (backend, { a, b }) => {
    const whole = ints && isInt(a, b);
    const plan = isFloat(a, b) || whole ? planBroadcast(a.shape, b.shape) : undefined;
    if (!plan || sizeOf(plan.shape) === 0) return undefined;
    const y = backend.make(plan.shape, compares ? 'bool' : whole ? 'int32' : 'float32');
    backend.run(whole ? `${name}Int` : name, [a, b], [y], plan.ints);
    return y;
  };

const logical =
  (name: string): Override =>
  (backend, { a, b }) => {
    const plan = a.dtype === 'bool' && b.dtype === 'bool' ? planBroadcast(a.shape, b.shape) : undefined;
    if (!plan || sizeOf(plan.shape) === 0) return undefined;
    const y = backend.make(plan.shape, 'bool');
    backend.run(name, [a, b], [y], plan.ints);
    return y;
  };

/** Arrays that one call of AddN takes, beside the sum of those before. */
const TERMS = 60;
const addN: Override = (backend, inputs) => {
  const all = Object.values(inputs);
  const size = sizeOf(all[0].shape);
  const alike = all.every(
    ({ shape }) => shape.length === all[0].shape.length && shape.every((d, i) => d === all[0].shape[i]),
  );
  if (!isFloat(...all) || !alike || size === 0) return undefined;
  let sum: TensorInfo | undefined;
  for (let i = 0; i < all.length; i += TERMS) {
    const y = backend.make(all[0].shape, 'float32');
    const terms = all.slice(i, i + TERMS);
    backend.run('AddN', sum ? [sum, ...terms] : terms, [y], [size]);
    if (sum) backend.disposeData(sum.dataId);
    sum = y;
  }
  return sum;
};

/** A condition of rank 1 beside arrays of higher rank decides for whole rows. */
const select: Override = (backend, { condition, t, e }) => {
  const size = sizeOf(t.shape);
  const conditions = sizeOf(condition.shape);
  if (condition.dtype !== 'bool' || !isMovable(t, e) || size === 0 || sizeOf(e.shape) !== size) return undefined;
  if (conditions === 0 || size % conditions !== 0) return undefined;
  if (conditions !== size && condition.shape.length !== 1) return undefined;
  const y = backend.make(t.shape, t.dtype as 'float32');
  backend.run('Choose', [condition, t, e], [y], [size, size / conditions]);
  return y;
};

const CASTS: Record<string, string | undefined> = {
  'float32 int32': 'CastFloatToInt',
  'int32 float32': 'CastIntToFloat',
  'bool float32': 'CastBoolToFloat',
  'bool int32': 'CastBoolToInt',
};
const cast: Override = (backend, { x }, { dtype }) => {
  if (x.dtype === dtype) {
    backend.incRef(x.dataId);
    return { dataId: x.dataId, shape: x.shape, dtype: x.dtype };
  }
  const kernel = CASTS[`${x.dtype} ${dtype}`];
  const size = sizeOf(x.shape);
  if (!kernel || size === 0) return undefined;
  const y = backend.make(x.shape, dtype as 'float32' | 'int32');
  backend.run(kernel, [x], [y], [size]);
  return y;
};

const UNARY = [
  ...[
    'Abs',
    'Neg',
    'Exp',
    'Expm1',
    'Log',
    'Log1p',
    'Sqrt',
    'Rsqrt',
    'Reciprocal',
    'Square',
    'Sigmoid',
    'Tanh',
    'Softplus',
  ],
  ...['Erf', 'Relu', 'Relu6', 'Elu', 'Sin', 'Cos'],
];
const BINARY = ['RealDiv', 'SquaredDifference', 'Pow'];
const BINARY_WITH_INTS = ['Add', 'Sub', 'Multiply', 'Maximum', 'Minimum'];
const COMPARISONS = ['Greater', 'GreaterEqual', 'Less', 'LessEqual', 'Equal', 'NotEqual'];

const named = (names: string[], make: (name: string) => Override): Overrides =>
  Object.fromEntries(names.map((name) => [name, make(name)]));
const sameShape = (a: TensorInfo, b: TensorInfo): boolean => String(a.shape) === String(b.shape);

export const overrides: Overrides = {
  ...named(UNARY, (name) => unary(name)),
  ...named(BINARY, (name) => binary(name)),
  ...named(BINARY_WITH_INTS, (name) => binary(name, { ints: true })),
  ...named(COMPARISONS, (name) => binary(name, { ints: true, compares: true })),
  LeakyRelu: unary('LeakyRelu', ({ alpha }) => [Number(alpha)]),
  Step: unary('Step', ({ alpha }) => [Number(alpha ?? 0)]),
  ClipByValue: unary('ClipByValue', ({ clipValueMin, clipValueMax }) => [Number(clipValueMin), Number(clipValueMax)]),
  EluGrad: (backend, { dy, y }) => (sameShape(dy, y) ? binary('EluGrad')(backend, { a: dy, b: y }, {}) : undefined),
  Prelu: (backend, { x, alpha }) => binary('Prelu')(backend, { a: x, b: alpha }, {}),
  LogicalAnd: logical('LogicalAnd'),
  LogicalOr: logical('LogicalOr'),
  AddN: addN,
  Select: select,
  Cast: cast,
};
