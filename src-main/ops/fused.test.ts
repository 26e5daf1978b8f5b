// Fused kernels through `bind`: same result and gradient as their compositions, optional inputs, refusals, fallbacks.
import { beforeAll, describe, expect, it } from 'vitest';
import type { Kernel } from '../../kernels/core/kernel';
import { layerNorm as layerNormKernel } from '../../kernels/layer-norm/kernel';
import { bind, fallbacks, hasKernel, kernels, poisonBuffers, runKernel, tf, useDevice, withReference } from '.';

const layerNorm = bind(layerNormKernel, {
  replaces: ({ x, weight, bias }, { epsilon }) => {
    const centred = tf.sub(x!, tf.mean(x!, -1, true));
    const scale = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), Number(epsilon)));
    const y = tf.mul(tf.mul(centred, scale), weight!);
    return { y: bias ? tf.add(y, bias) : y };
  },
});

/** Value and gradients of a sum over the normalised rows, as plain numbers. */
function slopes(withBias: boolean): number[][] {
  return tf.tidy(() => {
    const x = tf.tensor2d([1, 2, 4, -1, 0.5, 3], [2, 3]);
    const weight = tf.tensor1d([1, 0.5, 2]);
    const bias = tf.tensor1d([0.1, 0.2, 0.3]);
    const far = tf.tensor2d([1, -2, 3, 0.5, 1, -1], [2, 3]);
    const loss = (...[u, w, b]: tf.Tensor[]) =>
      tf.sum(tf.mul(layerNorm({ x: u, weight: w, bias: b }, { epsilon: 1e-5 }).y, far)) as tf.Scalar;
    const inputs = withBias ? [x, weight, bias] : [x, weight];
    const { value, grads } = tf.valueAndGrads(loss)(inputs);
    return [value, ...grads].map((tensor) => Array.from(tensor.dataSync()));
  });
}

describe('on the cpu device', () => {
  beforeAll(async () => {
    await useDevice('cpu', { threads: 2 });
    poisonBuffers(true);
  });

  it.runIf(kernels.size > 0)('finds the kernels by their folders', () => {
    expect([...kernels.keys()]).toContain('LayerNorm');
    expect([...kernels.keys()]).toContain('LayerNormGrad');
  });

  it('gives values and gradients of the composition, with and without an optional input, and leaves nothing behind', () => {
    for (const withBias of [true, false]) {
      const wanted = withReference(() => slopes(withBias));
      slopes(withBias);
      const before = tf.memory().numTensors;
      const got = slopes(withBias);
      expect(tf.memory().numTensors).toBe(before);
      got.forEach((values, k) => {
        values.forEach((value, i) => {
          expect(value).toBeCloseTo(wanted[k][i], 5);
        });
      });
    }
  });

  it('withReference holds for as long as a promise runs, and ends with it', async () => {
    if (!hasKernel('LayerNorm')) return;
    let composed = 0;
    const counting = bind(layerNormKernel, {
      replaces: ({ x }) => {
        composed++;
        return { y: tf.clone(x!) };
      },
    });
    const call = () => tf.dispose(counting({ x: tf.ones([1, 3]), weight: tf.ones([3]) }, { epsilon: 1 }).y);
    await withReference(async () => {
      await null;
      call();
    });
    expect(composed).toBe(1);
    call();
    expect(composed).toBe(1);
    expect(() =>
      withReference(() => {
        throw new Error('no');
      }),
    ).toThrow('no');
    call();
    expect(composed).toBe(1);
  });

  it('falls back where the kernel refuses, the type differs or `when` says no, and tells of the first two', () => {
    if (!hasKernel('LayerNorm')) return;
    const y = tf.tidy(() => layerNorm({ x: tf.ones([2, 3], 'int32'), weight: tf.ones([3]) }, { epsilon: 1 }).y.shape);
    expect(y).toEqual([2, 3]);
    expect(fallbacks().join()).toMatch(
      /LayerNorm runs as a composition of TF\.js ops: x is int32, and must be float32/,
    );
    const never = bind(layerNormKernel, { replaces: ({ x }) => ({ y: tf.clone(x!) }), when: () => false });
    const count = fallbacks().length;
    tf.tidy(() => never({ x: tf.ones([2, 3]), weight: tf.ones([3]) }, { epsilon: 1 }));
    expect(fallbacks().length).toBe(count);
  });

  it('runs kernels without a gradient by name, and says what is wrong with a call', () => {
    if (!hasKernel('SquareSum')) return;
    expect(tf.tidy(() => runKernel('SquareSum', { x: tf.tensor1d([1, 2, 3]) }, {}).sum.dataSync()[0])).toBe(14);
    expect(() => runKernel('SquareSum', {}, {})).toThrow('SquareSum: input x is missing');
    expect(() => runKernel('Nothing', {}, {})).toThrow(/no kernel Nothing/);
  });
});

describe('on a device without fused kernels', () => {
  beforeAll(async () => {
    await useDevice('reference');
  });

  it('uses the composition and tells', () => {
    const other: Kernel = { ...layerNormKernel, name: 'NobodyHasThis' };
    const bound = bind(other, { replaces: ({ x }) => ({ y: tf.clone(x!) }) });
    expect(tf.tidy(() => bound({ x: tf.ones([2]) }, {}).y.shape)).toEqual([2]);
    expect(fallbacks()).toContain('NobodyHasThis runs as a composition of TF.js ops: this device has no such kernel.');
  });
});
