// The state-space-dual scan, S[t] = exp(dt A) S[t-1] + dt x Bᵀ, y = S C + D x: the core of Mamba-2, computed in chunks.
import { defineKernel, type Kernel, type Shapes, sizeOf } from '../core/kernel';
import { packedScan, packedScanGrad, quasiseparable, quasiseparableGrad } from './packed';
import { wholeKernels } from './whole';

export { convScan, convScanGrad, wholeIsLess, wholeQuasiseparable, wholeQuasiseparableGrad } from './whole';
export { packedScan, packedScanGrad, quasiseparable, quasiseparableGrad };

/** Tokens a chunk. */
export const chunk = 64;

const ints = ({ x, B }: Shapes) => [x[0], x[1], x[2], x[3], B[2], B[3]]; // batch, T, H, P, G, N
const stateShape = ({ x, B }: Shapes) => [x[0], x[2], x[3], B[3]];

/**
 * x [b, T, H, P], dt [b, T, H] (> 0), A [H] (< 0), B and C [b, T, G, N], D [H], initialState [b, H, P, N] to y [b, T, H, P] and
 * finalState [b, H, P, N]. Head h uses group floor(h · G / H). chunkStates [b, H, ceil(T / 64), N, P] are the states that enter each chunk,
 * transposed, kept for the gradient.
 */
export const ssdScan = defineKernel({
  name: 'SsdScan',
  inputs: ['x', 'dt', 'A', 'B', 'C', 'D?', 'initialState?'],
  outputs: (shapes) => ({
    y: shapes.x,
    finalState: stateShape(shapes),
    chunkStates: [shapes.x[0], shapes.x[2], Math.ceil(shapes.x[1] / chunk), shapes.B[3], shapes.x[3]],
  }),
  ints,
  refuses(shapes) {
    const { x, dt, A, B, C, D, initialState } = shapes;
    if (x.length !== 4) return `x must be [batch, tokens, heads, width], not [${x.join(', ')}]`;
    if (B.length !== 4) return `B must be [batch, tokens, groups, state], not [${B.join(', ')}]`;
    if (String(dt) !== String(x.slice(0, 3))) return `dt [${dt}] must be [${x.slice(0, 3)}] to go with x [${x}]`;
    if (B[0] !== x[0] || B[1] !== x[1]) return `B [${B}] and x [${x}] must agree in batch and tokens`;
    if (String(C) !== String(B)) return `C [${C}] must have the shape of B [${B}]`;
    if (x[2] % B[2] !== 0) return `${B[2]} groups do not divide ${x[2]} heads`;
    for (const [name, shape] of Object.entries({ A, D }))
      if (shape && sizeOf(shape) !== x[2]) return `${name} has ${sizeOf(shape)} entries for ${x[2]} heads`;
    if (initialState && String(initialState) !== String(stateShape(shapes)))
      return `initialState [${initialState}] must be [${stateShape(shapes)}]`;
    return undefined;
  },
  gradient: {
    kernel: 'SsdScanGrad',
    inputs: ['x', 'dt', 'A', 'B', 'C', 'D'],
    outputs: ['chunkStates'],
    cotangents: ['y', 'finalState'],
    of: ['x', 'dt', 'A', 'B', 'C', 'D', 'initialState'],
  },
});

export const ssdScanGrad = defineKernel({
  name: 'SsdScanGrad',
  inputs: ['x', 'dt', 'A', 'B', 'C', 'D?', 'chunkStates', 'dy', 'dfinalState'],
  outputs: (shapes) => ({
    dx: shapes.x,
    ddt: shapes.dt,
    dA: shapes.A,
    dB: shapes.B,
    dC: shapes.C,
    dD: shapes.A,
    dinitialState: stateShape(shapes),
  }),
  ints,
});

export const kernels: Kernel[] = [
  ssdScan,
  ssdScanGrad,
  packedScan,
  packedScanGrad,
  quasiseparable,
  quasiseparableGrad,
  ...wholeKernels,
];
