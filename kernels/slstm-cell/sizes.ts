// What the kernels of the scalar memory share.

/**
 * Numbers a channel that each token keeps for the gradient: its share in the normaliser, that of the past, 1 − forget gate, the step of the mean
 * cell / normaliser, the share times the slope of the cell input's tanh, and the argument of the output gate.
 */
export const KEPT = 6;
