// Tests of the overridden ops: each must agree with TF.js's JavaScript kernel, with fresh buffers and scratch full of NaN.
// One test file per instruction set calls this, since a process loads one addon.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as tf from '../tf';
import { loadAddon } from './addon';
import type { NativeBackend } from './backend';
import { registerNative } from './register';

/** A repeatable draw from (-2, 2). */
function draw(shape: number[], seed: number): tf.Tensor {
  let state = seed * 2654435761 + 1;
  const values = Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32) * 4 - 2;
  });
  return tf.tensor(values, shape);
}

type Make = () => tf.Tensor | tf.Tensor[];

export function testOverrides(isa: string | undefined): void {
  if (isa) process.env.ARCHLAB_ISA = isa;
  const loaded = loadAddon();
  if ('absent' in loaded) {
    it.skip(`${isa ?? 'native'}: ${loaded.absent}`, () => undefined);
    return;
  }
  let backend: NativeBackend;
  beforeAll(() => {
    backend = registerNative(loaded);
    backend.addon.threads(2);
    backend.pool.poison = true;
    backend.addon.poison(true);
  });
  afterAll(() => {
    backend.addon.poison(false);
  });

  /** Values that `make` gives on a backend, with their shapes and types. */
  const on = async (name: string, make: Make) => {
    await tf.setBackend(name);
    return tf.tidy(() =>
      [make()].flat().map((tensor) => ({
        shape: tensor.shape,
        dtype: tensor.dtype,
        values: Array.from(tensor.dataSync() as Float32Array),
      })),
    );
  };

  /** Fails unless both backends give the same. `relative`: of the larger of 1 and the value; rounding of sums in another order, or of Exp by another formula. */
  const agree = async (make: Make, relative = 2e-6) => {
    const wanted = await on('cpu', make);
    const before = backend.numDataIds();
    const got = await on('native', make);
    expect(backend.numDataIds(), 'buffers left behind').toBe(before);
    expect(got.map(({ shape, dtype }) => ({ shape, dtype }))).toEqual(
      wanted.map(({ shape, dtype }) => ({ shape, dtype })),
    );
    got.forEach(({ values }, k) => {
      const right = wanted[k].values;
      for (let i = 0; i < right.length; i++) {
        if (Object.is(values[i], right[i]) || values[i] === right[i]) continue;
        const error = Math.abs(values[i] - right[i]) / Math.max(1, Math.abs(right[i]));
        if (!(error <= relative)) expect.fail(`output ${k}, element ${i}: ${values[i]} instead of ${right[i]}`);
      }
    });
  };

  it('is the instruction set that was asked for', () => {
    if (isa) expect(backend.addon.isa).toBe(isa);
  });

  describe('matrix products', () => {
    const sizes = [
      [1, 1, 1],
      [1, 70, 33],
      [70, 1, 33],
      [3, 5, 1],
      [13, 31, 7],
      [29, 67, 129],
      [15, 33, 641],
      [130, 70, 1300],
      [130, 270, 330],
    ];
    for (const [m, n, k] of sizes)
      for (const [transA, transB] of [
        [false, false],
        [true, false],
        [false, true],
        [true, true],
      ])
        it(`${m} × ${k} by ${k} × ${n}${transA ? ', a transposed' : ''}${transB ? ', b transposed' : ''}`, () =>
          agree(
            () => {
              const a = draw(transA ? [k, m] : [m, k], 1);
              const b = draw(transB ? [n, k] : [k, n], 2);
              return tf.matMul(a, b, transA, transB);
              // Terms reach 4, their partial sums grow as sqrt(k), and so does the walk of the k roundings: in all as k times 2^-24.
            },
            1.5e-7 * k + 1e-6,
          ));
    it('batches, alone and against one matrix', async () => {
      for (const [a, b] of [
        [
          [3, 5, 7],
          [3, 7, 9],
        ],
        [
          [3, 5, 7],
          [1, 7, 9],
        ],
        [
          [1, 5, 7],
          [4, 7, 9],
        ],
        [
          [2, 3, 5, 7],
          [2, 3, 7, 4],
        ],
        [
          [2, 3, 5, 7],
          [7, 4],
        ],
      ])
        await agree(() => tf.matMul(draw(a, 1), draw(b, 2)));
      await agree(() => tf.matMul(draw([3, 7, 5], 1), draw([1, 7, 9], 2), true));
      await agree(() => tf.matMul(draw([20, 40, 30], 1), draw([20, 50, 30], 2), false, true), 1e-5);
      await agree(() => tf.matMul(draw([2, 1, 5, 7], 1), draw([1, 3, 7, 4], 2)));
    });
    it('with bias and activation', async () => {
      for (const activation of ['linear', 'relu', 'elu', 'sigmoid'] as const)
        await agree(() => tf.fused.matMul({ a: draw([5, 7], 1), b: draw([7, 9], 2), bias: draw([9], 3), activation }));
    });
    it('gives the same bits for 1, 2 and 3 threads', async () => {
      const bits = async (threads: number) => {
        backend.addon.threads(threads);
        return (await on('native', () => tf.matMul(draw([1500, 90], 1), draw([1500, 70], 2), true)))[0].values;
      };
      const one = await bits(1);
      expect(await bits(2)).toEqual(one);
      expect(await bits(3)).toEqual(one);
      backend.addon.threads(2);
    });
  });

  describe('functions of one array', () => {
    const functions: Record<string, (x: tf.Tensor) => tf.Tensor> = {
      ...{
        abs: tf.abs,
        neg: tf.neg,
        exp: tf.exp,
        expm1: tf.expm1,
        square: tf.square,
        sigmoid: tf.sigmoid,
        tanh: tf.tanh,
      },
      ...{ softplus: tf.softplus, relu: tf.relu, relu6: tf.relu6, elu: tf.elu, erf: tf.erf, sin: tf.sin, cos: tf.cos },
      ...{ reciprocal: tf.reciprocal, step: (x) => tf.step(x, 0.25), leakyRelu: (x) => tf.leakyRelu(x, 0.2) },
      ...{ clip: (x) => tf.clipByValue(x, -0.5, 1.25), int: (x) => tf.cast(x, 'int32') },
      log: (x) => tf.log(tf.abs(x)),
      log1p: (x) => tf.log1p(tf.abs(x)),
      sqrt: (x) => tf.sqrt(tf.abs(x)),
      rsqrt: (x) => tf.rsqrt(tf.add(tf.abs(x), 0.1)),
    };
    for (const [name, f] of Object.entries(functions))
      it(name, async () => {
        for (const n of [1, 3, 17, 100]) await agree(() => f(draw([n], n)), 4e-6);
        await agree(() => f(tf.mul(draw([77], 3), 40)), 4e-6); // into the tails
        await agree(() => f(tf.mul(draw([77], 4), 1e-5)), 1e-6); // around zero
      });
    it('keeps NaN and infinities as JavaScript does', async () => {
      const edges = () =>
        tf.tensor1d([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -1, 1e30, 1e-30, 88.5, -87]);
      const all = [
        tf.exp,
        tf.log,
        tf.log1p,
        tf.sqrt,
        tf.rsqrt,
        tf.relu,
        tf.abs,
        tf.sigmoid,
        tf.tanh,
        tf.expm1,
        tf.step,
        tf.elu,
      ];
      for (const f of all) await agree(() => f(edges()), 4e-6);
      await agree(() => [
        tf.maximum(edges(), 1),
        tf.maximum(1, edges()),
        tf.minimum(edges(), 1),
        tf.minimum(1, edges()),
      ]);
      await agree(() => [tf.max(edges()), tf.min(edges()), tf.sum(edges())]);
    });
  });

  describe('functions of two arrays', () => {
    const pairs = [
      [[1], [1]],
      [[7], [7]],
      [
        [5, 33],
        [5, 33],
      ],
      [[5, 33], [33]],
      [
        [5, 33],
        [5, 1],
      ],
      [[5, 1], [33]],
      [
        [4, 1, 17],
        [3, 1],
      ],
      [
        [2, 3, 4, 5],
        [3, 1, 5],
      ],
      [
        [2, 1, 3, 1, 2],
        [1, 4, 1, 5, 1],
      ],
      [[], [9]],
      [[300, 130], [130]],
    ];
    const functions = {
      add: tf.add,
      sub: tf.sub,
      mul: tf.mul,
      div: tf.div,
      maximum: tf.maximum,
      minimum: tf.minimum,
      squaredDifference: tf.squaredDifference,
      greater: tf.greater,
      less: tf.less,
      equal: tf.equal,
      notEqual: tf.notEqual,
      greaterEqual: tf.greaterEqual,
      lessEqual: tf.lessEqual,
    };
    for (const [name, f] of Object.entries(functions))
      it(name, async () => {
        for (const [a, b] of pairs) {
          await agree(() => f(draw(a, 1), draw(b, 2)));
          await agree(() => f(draw(b, 3), draw(a, 4)));
        }
        await agree(() => f(tf.tensor1d([7, -3, 5], 'int32'), tf.tensor1d([7, 4, -9], 'int32')));
      });
    it('pow', () => agree(() => tf.pow(tf.abs(draw([5, 9], 1)), draw([9], 2)), 1e-6));
    it('prelu', () => agree(() => tf.prelu(draw([5, 9], 1), draw([9], 2))));
    it('addN', () => agree(() => tf.addN([draw([5, 9], 1), draw([5, 9], 2), draw([5, 9], 3)])));
    it('where', async () => {
      await agree(() => tf.where(tf.greater(draw([5, 9], 1), 0), draw([5, 9], 2), draw([5, 9], 3)));
      await agree(() => tf.where(tf.greater(draw([5, 1], 1), 0), draw([5, 9], 2), draw([9], 3)));
    });
    it('casts between bool, int32 and float32', () =>
      agree(() => {
        const yes = tf.greater(draw([19], 1), 0);
        return [
          tf.cast(yes, 'float32'),
          tf.cast(yes, 'int32'),
          tf.cast(tf.cast(draw([19], 2), 'int32'), 'float32'),
          tf.cast(draw([19], 2), 'bool'),
        ];
      }));
  });

  describe('reductions', () => {
    const shapes = [[1], [7], [5, 33], [33, 1], [4, 5, 6, 7], [3, 9000], [9000, 3], [700, 65]];
    for (const [name, f] of Object.entries({ sum: tf.sum, mean: tf.mean, max: tf.max, min: tf.min }))
      it(name, async () => {
        for (const shape of shapes)
          for (const axes of [undefined, ...shape.keys(), [...shape.keys()].filter((d) => d % 2 === 0)])
            for (const keepDims of [false, true]) await agree(() => f(draw(shape, 5), axes, keepDims), 2e-5); // the JavaScript sum rounds after each term
      });
    it('softmax, logSoftmax and argMax', async () => {
      for (const shape of [
        [1, 1],
        [5, 33],
        [2, 3, 16],
        [4, 100],
      ]) {
        await agree(() => [tf.softmax(draw(shape, 1)), tf.logSoftmax(draw(shape, 1)), tf.argMax(draw(shape, 1), -1)]);
        await agree(() => tf.softmax(tf.mul(draw(shape, 2), 50)));
      }
    });
    it('cumsum', async () => {
      for (const axis of [0, 1, 2])
        for (const exclusive of [false, true])
          for (const reverse of [false, true])
            await agree(() => tf.cumsum(draw([3, 7, 5], 1), axis, exclusive, reverse));
    });
  });

  describe('moving elements', () => {
    it('transpose', async () => {
      for (const perm of [
        [0, 1, 2, 3],
        [0, 2, 1, 3],
        [0, 1, 3, 2],
        [3, 2, 1, 0],
        [1, 0, 2, 3],
        [2, 3, 0, 1],
        [0, 3, 1, 2],
        [3, 0, 1, 2],
        [1, 2, 3, 0],
      ])
        for (const shape of [
          [2, 3, 4, 5],
          [1, 7, 1, 9],
          [5, 1, 37, 6],
        ])
          await agree(() => tf.transpose(draw(shape, 1), perm));
      for (const shape of [
        [1, 9],
        [33, 65],
        [100, 7],
        [128, 130],
      ])
        await agree(() => tf.transpose(draw(shape, 1)));
    });
    it('transpose where only axes of length one move: the numbers stay where they are, for as long as one of both lives', async () => {
      await agree(() => {
        const x = draw([1, 4, 1, 5], 1);
        const y = tf.transpose(x, [2, 1, 3, 0]);
        x.dispose();
        return tf.add(y, tf.square(draw([1, 4, 5, 1], 2)));
      });
    });
    it('slice, split, concat, stack, unstack', async () => {
      await agree(() => tf.slice(draw([5, 7, 9], 1), [1, 2, 3], [3, 4, 5]));
      await agree(() => tf.slice(draw([5, 7, 9], 1), [0, 2, 0], [5, 1, 9]));
      await agree(() => [tf.slice(draw([5, 7, 9], 1), 1, 2), tf.slice(draw([5, 7, 9], 1), [1, 3], [2])]);
      for (const axis of [0, 1, 2]) {
        await agree(() => tf.split(draw([4, 6, 8], 1), 2, axis));
        await agree(() => tf.split(draw([4, 4, 4], 1), [1, 3], axis));
        await agree(() => tf.concat([draw([4, 4, 4], 1), draw([4, 4, 4], 2)], axis));
        await agree(() => tf.stack([draw([4, 5], 1), draw([4, 5], 2), draw([4, 5], 3)], axis));
        await agree(() => tf.unstack(draw([4, 3, 5], 1), axis));
      }
      await agree(() => tf.concat([draw([2, 3], 1), draw([2, 1], 2), draw([2, 5], 3)], 1));
      await agree(() => tf.concat([tf.tensor1d([1, 2], 'int32'), tf.tensor1d([3], 'int32')]));
    });
    it('a slice of nothing', () =>
      agree(() => [tf.slice(draw([3, 4], 1), [1, 2], [2, 0]), tf.slice(draw([3], 1), [3], [0])]));
    it('logical and, or', () =>
      agree(() => {
        const [a, b, row] = [draw([5, 9], 1), draw([5, 9], 2), draw([9], 3)].map((x) => tf.greater(x, 0));
        return [tf.logicalAnd(a, b), tf.logicalOr(a, b), tf.logicalAnd(a, row), tf.logicalOr(row, b)];
      }));
    it('sums of more arrays than one call takes', () =>
      agree(() => tf.addN(Array.from({ length: 130 }, (_, i) => draw([3, 5], i))), 1e-5)); // rounding of 130 sums
    it('int32 of one value', () => agree(() => [tf.fill([3, 5], -7, 'int32'), tf.zerosLike(tf.fill([9], 3, 'int32'))]));
    it('reverse', async () => {
      for (const axes of [[0], [1], [2], [0, 1], [1, 2], [0, 2], [0, 1, 2], [-1]]) {
        await agree(() => tf.reverse(draw([3, 5, 7], 1), axes));
        await agree(() => tf.reverse(draw([1, 4, 1], 1), axes));
      }
      await agree(() => tf.reverse(tf.tensor1d([1, 2, 3], 'int32')));
    });
    it('tile, pad, fill', async () => {
      await agree(() => tf.tile(draw([2, 3, 1], 1), [1, 2, 5]));
      await agree(() => tf.broadcastTo(draw([1, 3, 1], 1), [4, 3, 5]));
      await agree(() =>
        tf.pad(
          draw([2, 3], 1),
          [
            [1, 2],
            [0, 4],
          ],
          7,
        ),
      );
      await agree(() => [tf.fill([3, 5], 2.5), tf.zerosLike(draw([9], 1)), tf.onesLike(draw([2, 9], 1))]);
    });
    it('gather and its gradient', async () => {
      const ids = () => tf.tensor1d([3, 0, 3, 1, 1, 4, 3], 'int32');
      for (const axis of [0, 1]) await agree(() => tf.gather(draw([5, 6, 7], 1), ids(), axis));
      await agree(() =>
        tf.gather(
          draw([5, 6], 1),
          tf.tensor2d(
            [
              [0, 4],
              [2, 2],
            ],
            [2, 2],
            'int32',
          ),
        ),
      );
      await agree(() => tf.unsortedSegmentSum(draw([7, 33], 1), ids(), 6));
      await agree(() => tf.unsortedSegmentSum(draw([7], 1), ids(), 5));
      await tf.setBackend('native');
      expect(() => tf.gather(draw([3, 2], 1), tf.tensor1d([3], 'int32'))).toThrow(/outside the axis/);
    });
  });

  it('gradients through overridden ops agree', () =>
    agree(() => {
      const loss = (x: tf.Tensor, w: tf.Tensor, b: tf.Tensor) => {
        const h = tf.relu(tf.add(tf.mul(tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D), 0.1), b));
        const [left, right] = tf.split(tf.transpose(h), 2);
        const mixed = tf.mul(tf.sigmoid(left), tf.softmax(right));
        return tf.sum(tf.logSoftmax(tf.concat([mixed, tf.square(left)], 1))) as tf.Scalar;
      };
      return tf.grads(loss as (...x: tf.Tensor[]) => tf.Scalar)([draw([9, 7], 1), draw([7, 6], 2), draw([6], 3)]);
    }, 1e-5));

  it('a view that a JavaScript kernel makes of a pooled buffer is its own memory', async () => {
    await tf.setBackend('native');
    const x = tf.add(draw([6], 1), 0); // in a pooled buffer
    const view = tf.slice(tf.cast(x, 'bool'), [0], [3]); // the JavaScript slice
    const strided = tf.stridedSlice(x, [1], [4], [1]);
    const wanted = Array.from((await x.data()).slice(1, 4));
    x.dispose();
    const other = tf.add(tf.zeros([6]), 99); // takes the freed buffer
    expect(Array.from(await strided.data())).toEqual(wanted);
    for (const tensor of [view, strided, other]) tensor.dispose();
  });
}
