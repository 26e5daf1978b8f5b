// The shaders of latent and differential attention, and of attention over a cache, against the plain loops; that of softmax attention is in
// fused.test.ts.
import { beforeAll, describe, it, vi } from 'vitest';
import { differentialSetting, latentSetting } from '../../../kernels/attention/testing';
import { setting as decodeSetting } from '../../../kernels/attention-decode/testing';
import { agree, openForTests, testable } from './testing';

// Shader compilers get slow when other tests share the machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

describe.runIf(testable)('shaders of attention', () => {
  beforeAll(async () => {
    await openForTests();
  });

  it.each([
    { T: 1, H: 4, Hk: 4, own: 8, r: 6, e: 10 },
    { T: 33, H: 4, Hk: 2, own: 8, r: 6, e: 10 },
    { T: 65, H: 4, Hk: 2, own: 5, r: 4, e: 0 },
    { T: 34, H: 2, Hk: 1, own: 1, r: 1, e: 3, rotary: false },
    { T: 34, H: 2, Hk: 1, own: 1, r: 2, e: 1 },
    { B: 1, T: 34, H: 2, Hk: 1, own: 96, r: 36, e: 0 },
    { B: 1, T: 3, H: 2, Hk: 1, own: 4, r: 2, e: 140 },
    { T: 3, S: 40, H: 2, Hk: 2, own: 7, r: 2, e: 0, causal: false },
    { B: 0, T: 3, H: 2, Hk: 2, own: 4, r: 2, e: 4 },
  ])('LatentAttention of %j', async (sizes) => {
    // As the native kernel is held to: softmax and sums over at most 65 keys in float32; the gradient chains four such products.
    await agree(latentSetting(sizes), 4e-6);
  });

  it.each([
    { T: 1, H: 4, Hk: 2, d: 8, e: 20 },
    { T: 33, H: 4, Hk: 2, d: 8, e: 20 },
    { T: 65, H: 2, Hk: 2, d: 3, e: 6, causal: false, rotary: false },
    { T: 34, H: 2, Hk: 1, d: 1, e: 1, rotary: false },
    { T: 34, H: 2, Hk: 1, d: 2, e: 3, rest: 1.7 },
    { B: 1, T: 34, H: 2, Hk: 1, d: 66, e: 132, rest: -0.2 },
    { T: 3, S: 40, H: 2, Hk: 1, d: 4, e: 4 },
    { B: 0, T: 3, H: 2, Hk: 1, d: 4, e: 4 },
  ])('DifferentialAttention of %j', async (sizes) => {
    const given = differentialSetting(sizes);
    // A single channel is normed to ±1 whatever it is: its gradient is terms of the order of 1 that cancel. The bound is that of the native
    // kernel: two softmaxes, a difference, and a norm that may blow it up by some 3; the gradient chains five products.
    await agree({ ...given, floor: sizes.e === 1 ? 100 : undefined }, 2e-5);
  });

  it.each([
    { H: 1, G: 1, n: 1, a: 1, e: 1 },
    { B: 2, H: 4, G: 2, n: 17, a: 20, e: 24, room: 3 },
    { H: 2, G: 2, n: 127, a: 5, e: 70, room: 300 },
    { H: 2, G: 1, n: 129, a: 8, e: 8, room: 1 },
    { B: 2, H: 4, G: 1, n: 300, a: 33, e: 33, r: 18, room: 5 },
    { H: 4, G: 2, n: 40, a: 24, e: 48, r: 24, wider: 24 },
    { H: 4, G: 4, Gv: 2, n: 90, a: 16, e: 32 },
    { H: 8, G: 2, Gv: 4, n: 90, a: 16, e: 32, scale: -1 },
    { H: 4, G: 2, n: 37, a: 16, e: 16, softCap: 1.5 },
    { H: 4, G: 2, n: 300, a: 16, e: 16, slopes: true, sinks: true, room: 2 },
    { H: 2, G: 2, n: 300, a: 8, e: 8, softCap: 2, slopes: true, sinks: true },
    { B: 0, H: 2, G: 1, n: 4, a: 4, e: 4 },
  ])('AttentionDecode of %j', async (sizes) => {
    // As the native kernel is held to: scores, softmax and sums over at most 300 tokens in float32.
    await agree(decodeSetting(sizes), 4e-6);
  });
});
