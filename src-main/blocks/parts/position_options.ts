// Options that attention blocks have in common: what a token sees, and how far its channels turn with position.
import { bool, float } from '../../spec/options';

export const positionOptions = {
  causal: bool(true, { help: 'Each token sees itself and earlier ones only; language models need this.' }),
  ropeTheta: float(10_000, {
    title: 'RoPE base',
    min: 1,
    max: 1e9,
    log: true,
    help: 'Base of the rotary frequencies.',
  }),
  ropeFraction: float(1, {
    title: 'RoPE share',
    min: 0,
    max: 1,
    help: 'Share of channel pairs that turn with position, fastest first; 0 leaves positions out (NoPE).',
    paper: 'https://arxiv.org/abs/2410.06205',
  }),
};
