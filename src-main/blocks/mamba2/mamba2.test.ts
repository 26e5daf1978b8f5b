// Mamba-2: golden cases, kernels against compositions, its starting values and its rules.
import { expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { initialValues } from '../../engine/build';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import block from './block';
import { stepSizes } from './reference';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', {
    T: [1, 5, 66],
    width: 12,
    options: [
      { headDim: 4, dState: 3, groups: 3 },
      { headDim: 8, dState: 5, dConv: 1, normBeforeGate: true, bias: true, convBias: false, dtLimit: [0.2, 1] },
    ],
  });

  it('decodes without a convolution state when the convolution has one tap', () => {
    tf.tidy(() => {
      const o = options({ headDim: 4, dState: 3, dConv: 1 });
      const weights = weightsFor(block, o, 4);
      const x = noise([2, 3, 4], 'x') as tf.Tensor3D;
      let state = block.layer.begin!(2, 4, o);
      expect(Object.keys(state)).toEqual(['ssm']);
      const ys = tf.split(x, 3, 1).map((token, position) => {
        const done = block.layer.step!(token as tf.Tensor3D, weights, state, { options: o, position });
        state = done.state;
        return done.y;
      });
      const whole = block.layer.forward(x, weights, { options: o });
      expect(relativeError(tf.concat(ys, 1).dataSync(), whole.dataSync())).toBeLessThan(1e-5);
    });
  });

  it('starts with steps from 0.001 to 0.1 and decays from 1 to 16', () => {
    const weights = block.weights(options({ headDim: 1 }), 256);
    const { dt_bias, A_log, w_out } = weights;
    const steps = initialValues(1, 'layers.0.dt_bias', dt_bias, 1).map((b) => Math.log1p(Math.exp(b)));
    expect(Math.min(...steps)).toBeGreaterThan(0.00099);
    expect(Math.max(...steps)).toBeLessThan(0.101);
    // Log-uniform: the middle of 512 draws lies near the geometric mean, 0.01.
    expect(steps.sort()[256]).toBeGreaterThan(0.006);
    expect(steps[256]).toBeLessThan(0.016);
    const rates = initialValues(1, 'layers.0.A_log', A_log, 1).map(Math.exp);
    expect(Math.min(...rates)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...rates)).toBeLessThanOrEqual(16);
    const four = initialValues(1, 'w', w_out, 4);
    const one = initialValues(1, 'w', w_out, 1);
    expect(four[5]).toBeCloseTo(one[5] / 2, 7);
    for (const name of ['dt_bias', 'A_log', 'D']) expect(weights[name].decay).toBe(false);
  });

  it('keeps step sizes exact at both ends, with a gradient', () => {
    tf.tidy(() => {
      const raw = tf.tensor3d([-80, -20, 0, 20, 80], [1, 1, 5]);
      const dt = stepSizes(raw, tf.zeros([5]), null).dataSync();
      for (const [i, x] of [-80, -20, 0, 20, 80].entries())
        expect(dt[i] / (Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))) - 1).toBeCloseTo(0, 6);
      const slope = tf
        .grad((u) => tf.sum(stepSizes(u, tf.zeros([5]), [0.5, 30])))(raw)
        .dataSync();
      expect(Array.from(slope)).toEqual([0, 0, 0.5, 1, 0]);
    });
  });

  it.each([
    [{ headDim: 64 }, 'options.headDim: heads of 64 channels do not divide the inner width 2 × 48 = 96', 48],
    [{ headDim: 32, groups: 2 }, 'options.groups: 2 groups do not divide the 3 heads', 1],
  ])('names what does not go together: %j', (given, message, fix) => {
    const [problem] = block.rules!(options(given), 48, 'options');
    expect(`${problem.path}: ${problem.message}`).toContain(message);
    expect(problem.fix).toBe(fix);
  });
});
