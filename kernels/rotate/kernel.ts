// Heads turned by their position in half-split pairs, as a step of decoding does.
import { defineKernel, type Kernel } from '../core/kernel';

/** u [B, T, H, d] with its last r channels turned by cos and sin [T, r/2]: channel i of them with channel i + r/2; the others stay. */
export const rotate = defineKernel({
  name: 'Rotate',
  inputs: ['u', 'cos', 'sin'],
  outputs: ({ u }) => ({ y: u }),
  ints: ({ u, cos }) => [...u, cos[1]],
  refuses({ u, cos, sin }) {
    if (u.length !== 4) return `u must be [batch, tokens, heads, width], not [${u.join(', ')}]`;
    if (cos.length !== 2 || String(cos) !== String(sin) || cos[0] !== u[1] || 2 * cos[1] > u[3])
      return `cos [${cos}] and sin [${sin}] must hold up to ${Math.floor(u[3] / 2)} numbers for each of ${u[1]} tokens`;
    return undefined;
  },
});

export const kernels: Kernel[] = [rotate];
