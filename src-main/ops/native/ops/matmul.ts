// Products of matrices: BatchMatMul, and the fused form with bias and activation.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../backend';
import type { Override, Overrides } from '../register';
import { isFloat, sizeOf } from '../shape';
import { overrides as elementwise } from './elementwise';

function multiply(
  backend: NativeBackend,
  a: TensorInfo,
  b: TensorInfo,
  transA: boolean,
  transB: boolean,
  row?: TensorInfo,
): TensorInfo | undefined {
  const rankA = a.shape.length;
  const rankB = b.shape.length;
  if (!isFloat(a, b) || rankA < 2 || rankB < 2) return undefined;
  const k = a.shape[transA ? rankA - 2 : rankA - 1];
  let m = a.shape[transA ? rankA - 1 : rankA - 2];
  const n = b.shape[transB ? rankB - 2 : rankB - 1];
  const outerA = a.shape.slice(0, -2);
  const outerB = b.shape.slice(0, -2);
  const batchA = sizeOf(outerA);
  const batchB = sizeOf(outerB);
  // One of the batches repeated partly (say [2, 1] with [2, 3]) is for the JavaScript kernel.
  const same = outerA.length === outerB.length && outerA.every((d, i) => d === outerB[i]);
  if (b.shape[transB ? rankB - 1 : rankB - 2] !== k || !(same || batchA === 1 || batchB === 1)) return undefined;
  const outer = batchA === 1 && outerB.length >= outerA.length ? outerB : outerA;
  let batch = Math.max(batchA, batchB);
  if (sizeOf(outer) !== batch || !(batch * m * n * k > 0)) return undefined;
  const c = backend.make([...outer, m, n], 'float32');
  if (batchB === 1 && batch > 1 && !transA) {
    m *= batch; // the same B for all: one tall product
    batch = 1;
  }
  const strideA = batchA === 1 ? 0 : m * k;
  const strideB = batchB === 1 ? 0 : k * n;
  const numbers = [batch, m, n, k, Number(transA), Number(transB), strideA, strideB];
  if (row) backend.run('MatMul', [a, b, row], [c], [...numbers, 0]);
  else backend.run('MatMul', [a, b], [c], numbers);
  return c;
}

const batchMatMul: Override = (backend, { a, b }, { transposeA, transposeB }) =>
  multiply(backend, a, b, transposeA === true, transposeB === true);

const ACTIVATIONS: Record<string, string | undefined> = {
  relu: 'Relu',
  relu6: 'Relu6',
  elu: 'Elu',
  sigmoid: 'Sigmoid',
};

const fusedMatMul: Override = (backend, { a, b, bias }, { transposeA, transposeB, activation }) => {
  const step = activation === undefined || activation === 'linear' ? undefined : ACTIVATIONS[String(activation)];
  if (activation !== undefined && activation !== 'linear' && !step) return undefined;
  if (bias && !isFloat(bias)) return undefined;
  const columns = b.shape[b.shape.length - (transposeB === true ? 2 : 1)];
  const row = bias && bias.shape.length === 1 && bias.shape[0] === columns ? bias : undefined;
  let result = multiply(backend, a, b, transposeA === true, transposeB === true, row);
  const then = (name: string, inputs: Record<string, TensorInfo>) => {
    const next = elementwise[name](backend, inputs, {}) as TensorInfo;
    backend.disposeData(result!.dataId);
    result = next;
  };
  if (result && bias && !row) then('Add', { a: result, b: bias });
  if (result && step) then(step, { x: result });
  return result;
};

export const overrides: Overrides = { BatchMatMul: batchMatMul, _FusedMatMul: fusedMatMul };
