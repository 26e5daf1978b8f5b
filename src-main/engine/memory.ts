// Whether a run can fit into this machine's memory at all, from its spec alone: said before anything is allocated.
import { totalmem } from 'node:os';
import type { Problem } from '../spec/error';
import type { RunSpec } from '../spec/run';
import { type Context, inspect, workingBytes } from './cost';

/** Bytes that training holds at once where its steps are captured; computed op by op they hold more. */
export interface MemoryNeed {
  /** Weights, their gradients and the optimiser's state. */
  weights: number;
  /** What one part of a batch holds besides: activations, their slopes, and its tokens. */
  activations: number;
}

/** Numbers that an optimiser keeps for each parameter. */
const stateOf = (optimiser: RunSpec['optimiser']): number =>
  optimiser.kind === 'adamw' ? 2 : optimiser.kind === 'sgd' && optimiser.momentum === 0 ? 0 : 1;

/** Of Muon's AdamW part only one of its two numbers is counted. A part's gradients grow while its activations go, so both together need less than their sum. */
export function memoryNeed(spec: RunSpec, context: Context): MemoryNeed {
  const { parameters, held } = inspect(spec.model, context).total;
  const { device, precision } = spec;
  const { size, accumulation } = spec.batch;
  const rows = Math.ceil(size / accumulation);
  const gradients = 4 * parameters;
  // With several parts, the gradients of those before stay while the next is worked off.
  const working =
    workingBytes(held[device === 'cpu' ? precision : 'float32'], rows) + (accumulation > 1 ? gradients : 0);
  return {
    weights: 4 * parameters * (2 + stateOf(spec.optimiser)),
    activations: Math.max(0, working - gradients) + rows * 8 * context.tokens,
  };
}

/** Bytes of memory that this process may use: the machine's, or less where a container limits it. */
export function memoryLimit(): number {
  const most = totalmem();
  const allowed = process.constrainedMemory();
  return allowed > 0 ? Math.min(most, allowed) : most;
}

/** Devices that compute in the memory of the machine; what a graphics card has is not known before it is asked. */
const HERE: readonly RunSpec['device'][] = ['cpu', 'reference'];

/** The problem of a run that wants more memory than there is; undefined where it may fit. */
export function memoryProblem(spec: RunSpec, context: Context, limit = memoryLimit()): Problem | undefined {
  if (!HERE.includes(spec.device)) return undefined;
  const { weights, activations } = memoryNeed(spec, context);
  if (weights + activations <= limit) return undefined;
  const much = (bytes: number) => `${Number((bytes / 2 ** 30).toPrecision(3)).toLocaleString('en')} GiB`;
  return {
    path: weights > activations ? 'run.model' : 'run.batch.size',
    message: `training wants about ${much(weights + activations)} of memory (${much(weights)} for weights, gradients and optimiser, ${much(activations)} for the activations of a batch), and this machine has ${much(limit)}`,
    hint:
      weights > activations
        ? 'take a smaller width or fewer layers'
        : 'take a smaller batch, more accumulation or a shorter context',
  };
}
