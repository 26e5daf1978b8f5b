// Sine and cosine to full precision.
import { wave } from '../../../../kernels/elementwise/kernel';
import { callFused } from '../fused';
import type { Override, Overrides } from '../override';

const waveOf =
  (cosine: boolean): Override =>
  (backend, { x }) =>
    x.dtype === 'float32' ? callFused(backend, wave.name, { x }, { cosine })[0] : undefined;

export const overrides: Overrides = { Sin: waveOf(false), Cos: waveOf(true) };
