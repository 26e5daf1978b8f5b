// Sum, mean, maximum, minimum and product along neighbouring axes, without transposing first.
import { util } from '@tensorflow/tfjs-core';
import { sizeOf } from '../../../../kernels/core/kernel';
import { reduceAxis, reductions } from '../../../../kernels/reduce/kernel';
import { callFused } from '../fused';
import type { Override, Overrides } from '../override';

const reduce =
  (reduction: string): Override =>
  (backend, { x }, attrs) => {
    // TF.js names the axes of a maximum otherwise.
    const axis = (attrs.axis ?? attrs.reductionIndices) as number | number[] | undefined;
    const axes = util.parseAxisParam(axis as number[], x.shape).sort((p, q) => p - q);
    const [first, last] = [axes[0], axes[axes.length - 1]];
    const neighbours = axes.length > 0 && last - first === axes.length - 1;
    if (x.dtype !== 'float32' || !neighbours || sizeOf(x.shape) === 0) return undefined;
    const outer = x.shape.slice(0, first);
    const inner = x.shape.slice(last + 1);
    const kept = attrs.keepDims === true ? axes.map(() => 1) : [];
    const sizes = { reduction, outer: sizeOf(outer), inner: sizeOf(inner) };
    const [y] = callFused(backend, reduceAxis.name, { x }, sizes);
    return { ...y, shape: [...outer, ...kept, ...inner] };
  };

export const overrides: Overrides = Object.fromEntries(reductions.map((name) => [name, reduce(name)]));
