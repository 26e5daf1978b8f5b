// The kernels that may stand in for the compositions: all tokens from zeros, and one.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { lstm, lstmStep } from '../../../kernels/recurrent/kernel';
import { bind } from '../../ops';
import { type Cell, run, step } from './reference';

const all = bind(lstm, { replaces: ({ gates, w }) => ({ y: run(gates as Tensor3D, w!) }) });
const one = bind(lstmStep, {
  replaces({ gates, w, h, c }) {
    const next = step({ h: h!, c: c! }, gates!, w!);
    return { nextH: next.h, nextC: next.c };
  },
});

/** As `run` of reference.ts. */
export const lstmRun = (gates: Tensor3D, w: Tensor): Tensor3D => all({ gates, w }, {}).y as Tensor3D;

/** As `step` of reference.ts. */
export function lstmToken({ h, c }: Cell, gates: Tensor, w: Tensor): Cell {
  const { nextH, nextC } = one({ gates, w, h, c }, {});
  return { h: nextH, c: nextC };
}
