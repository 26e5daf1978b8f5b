// Dropout as plain loops, and its mask for those who have no kernel.
import type { Arrays, Attrs, Plain, Shape } from '../core/kernel';
import { sizeOf } from '../core/kernel';
import { thresholdOf } from './kernel';
import { philox } from './philox';

/** True where a number stays, for a tensor of this shape at `step`, whose first row is number `row` of the whole batch. */
export function kept(shape: Shape, attrs: Attrs, step: number, row: number): boolean[] {
  const [rate, seed, site] = [Number(attrs.rate), Number(attrs.seed), Number(attrs.site)];
  const first = row * sizeOf(shape.slice(1));
  let block = -1;
  let words = [0, 0, 0, 0];
  return Array.from({ length: sizeOf(shape) }, (_, i) => {
    const place = first + i;
    const four = Math.floor(place / 4);
    if (four !== block) words = philox([four % 2 ** 32, Math.floor(four / 2 ** 32), step, site], [seed, 0]);
    block = four;
    return words[place % 4] >= thresholdOf(rate);
  });
}

function masked(values: Float64Array, shape: Shape, { counter }: Arrays, attrs: Attrs): Float64Array {
  const stays = kept(shape, attrs, counter[0], counter[1]);
  return values.map((value, i) => (stays[i] ? value / (1 - Number(attrs.rate)) : 0));
}

export const plain: Record<string, Plain> = {
  Dropout: (inputs, shapes, attrs) => ({ y: masked(inputs.x, shapes.x, inputs, attrs) }),
  DropoutGrad: (inputs, shapes, attrs) => ({ dx: masked(inputs.dy, shapes.dy, inputs, attrs) }),
};
