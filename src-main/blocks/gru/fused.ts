// The kernels that may stand in for the compositions: all tokens from zeros, and one.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { gru, gruStep } from '../../../kernels/recurrent/kernel';
import { bind } from '../../ops';
import { run, step } from './reference';

const all = bind(gru, { replaces: ({ gates, w, bias }) => ({ y: run(gates as Tensor3D, w!, bias) }) });
const one = bind(gruStep, { replaces: ({ gates, w, bias, h }) => ({ nextH: step(h!, gates!, w!, bias) }) });

/** As `run` of reference.ts. */
export const gruRun = (gates: Tensor3D, w: Tensor, bias?: Tensor): Tensor3D =>
  all({ gates, w, bias }, {}).y as Tensor3D;

/** As `step` of reference.ts. */
export const gruToken = (h: Tensor, gates: Tensor, w: Tensor, bias?: Tensor): Tensor =>
  one({ gates, w, bias, h }, {}).nextH;
