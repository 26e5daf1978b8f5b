// LSTM and GRU over all tokens, and over one: the part that waits for the state before. The inputs' share of the gates comes from outside.
import { type Attrs, defineKernel, type Kernel, type Shapes } from '../core/kernel';

/** Numbers a channel that each token keeps for the gradient: gates i, f, g, o and the cell. */
export const LSTM_KEPT = 5;
/** Gates r, z, the candidate, and the state's share of it before the reset gate. */
export const GRU_KEPT = 4;

function refuse(gates: number, { gates: x, w, bias, h, c }: Shapes): string | undefined {
  const [batch] = x;
  const n = x[x.length - 1];
  if (n % gates !== 0) return `gates [${x}] must end in ${gates} gates side by side`;
  const hidden = n / gates;
  if (String(w) !== String([hidden, n])) return `w is [${w}], and [${hidden},${n}] fits gates [${x}]`;
  if (bias && String(bias) !== String([n])) return `bias is [${bias}], and [${n}] fits gates [${x}]`;
  for (const [name, state] of Object.entries({ h, c }))
    if (state && String(state) !== String([batch, hidden]))
      return `${name} is [${state}], and [${batch},${hidden}] fits gates [${x}]`;
  return undefined;
}
function refuses(gates: number) {
  return (shapes: Shapes): string | undefined =>
    shapes.gates.length === 3 ? refuse(gates, shapes) : `gates must be [batch, tokens, gates], not [${shapes.gates}]`;
}
const hiddenOf = (gates: number, { gates: x }: Shapes): number[] => [...x.slice(0, -1), x[x.length - 1] / gates];
const ints = ({ w, y, gates }: Shapes): number[] => [...(y ?? gates).slice(0, 2), w[0]]; // batch, tokens, hidden
const ofStep = ({ h }: Shapes): number[] => [h[0], 1, h[1]];

/**
 * The inputs' share of the gates [B, T, 4h] in the order i, f, g, o, biases included, and recurrent weights w [h, 4h], to outputs y [B, T, h]:
 * c = σ(f) c + σ(i) tanh(g), h = σ(o) tanh(c), both zero before the first token.
 */
export const lstm = defineKernel({
  name: 'Lstm',
  inputs: ['gates', 'w'],
  outputs(shapes) {
    const y = hiddenOf(4, shapes);
    return { y, kept: [...y.slice(0, 2), LSTM_KEPT, y[2]] };
  },
  ints,
  refuses: refuses(4),
  gradient: { kernel: 'LstmGrad', inputs: ['w'], outputs: ['y', 'kept'], cotangents: ['y'], of: ['gates', 'w'] },
});
export const lstmGrad = defineKernel({
  name: 'LstmGrad',
  inputs: ['w', 'y', 'kept', 'dy'],
  outputs: ({ w, y }) => ({ dgates: [y[0], y[1], w[1]], dw: w }),
  ints,
});
/** One token: gates [B, 4h] and the state h, c [B, h] to the next. */
export const lstmStep = defineKernel({
  name: 'LstmStep',
  inputs: ['gates', 'w', 'h', 'c'],
  outputs: ({ h }: Shapes, _: Attrs) => ({ nextH: h, nextC: h }),
  ints: ofStep,
  refuses: (shapes) => refuse(4, shapes),
});

/**
 * The inputs' share of the gates [B, T, 3h] in the order r, z, n, recurrent weights w [h, 3h] and biases [3h] of the state's share, to states y [B, T, h]:
 * n = tanh(n_x + σ(r) n_h), h = (1 − σ(z)) n + σ(z) h, zero before the first token.
 */
export const gru = defineKernel({
  name: 'Gru',
  inputs: ['gates', 'w', 'bias?'],
  outputs(shapes) {
    const y = hiddenOf(3, shapes);
    return { y, kept: [...y.slice(0, 2), GRU_KEPT, y[2]] };
  },
  ints,
  refuses: refuses(3),
  gradient: {
    kernel: 'GruGrad',
    inputs: ['w'],
    outputs: ['y', 'kept'],
    cotangents: ['y'],
    of: ['gates', 'w', 'bias'],
  },
});
export const gruGrad = defineKernel({
  name: 'GruGrad',
  inputs: ['w', 'y', 'kept', 'dy'],
  outputs: ({ w, y }) => ({ dgates: [y[0], y[1], w[1]], dw: w, dbias: [w[1]] }),
  ints,
});
/** One token: gates [B, 3h] and the state h [B, h] to the next. */
export const gruStep = defineKernel({
  name: 'GruStep',
  inputs: ['gates', 'w', 'bias?', 'h'],
  outputs: ({ h }) => ({ nextH: h }),
  ints: ofStep,
  refuses: (shapes) => refuse(3, shapes),
});

export const kernels: Kernel[] = [lstm, lstmGrad, lstmStep, gru, gruGrad, gruStep];
