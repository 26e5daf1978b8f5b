// A model as training left it: weights out of a checkpoint, without the optimiser's state.
import type { Model } from './build';
import type { Checkpoint } from './checkpoint';
import { assignAll } from './optimiser';

const PREFIX = 'weight/';

/** @throws SpecError naming the weights that differ. */
export function loadWeights(model: Pick<Model, 'weights'>, { tensors, file }: Pick<Checkpoint, 'tensors' | 'file'>) {
  const weights = [...tensors].filter(([name]) => name.startsWith(PREFIX));
  assignAll(model.weights, new Map(weights.map(([name, tensor]) => [name.slice(PREFIX.length), tensor])), file);
}
