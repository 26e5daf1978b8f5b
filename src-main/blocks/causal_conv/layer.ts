// The convolution over a whole sequence, and token by token from the rows before.
import { tf } from '../../ops';
import type { Layer, State } from '../define';
import { convolveToken } from '../parts/tokens';
import type { CausalConvOptions } from './options';
import { convolved } from './reference';

export const layer: Layer<CausalConvOptions> = {
  forward: (x, w, { options }) => convolved(x, w, options.activation),

  begin: (batch, width, { size }): State => (size > 1 ? { rows: tf.zeros([batch, size - 1, width]) } : {}),

  step(x, w, state, { options }) {
    const { y, rows } = convolveToken(state.rows, x, w.w, w.b, options.activation);
    const next: State = rows ? { rows } : {};
    return { y, state: next };
  },
};
