// What the kernels of the scalar memory share.

/**
 * Numbers a channel that each token keeps for the gradient: write, keep, arguments of cell input and output gate, 1 − forget gate, the mean
 * cell / normaliser, and the normaliser.
 */
export const KEPT = 7;
