// What is known of a model before it is built: shapes, parameters, costs, problems; and the ready models of the palette.
import type { Problem } from './error';
import type { ModelSpec } from './model';
import type { ObjectiveKind, Precision } from './run';

/** One node of the model as the inspector shows it, keyed by its path (`model.layers[2]`). */
export interface NodeFacts {
  path: string;
  /** Shape in and out, e.g. `[B, 128, 256]`. */
  shape: string;
  /** Of the node whole: a repeat counts all of its copies. */
  parameters: number;
  /** Forward FLOPs a token at the given context. */
  flopsPerToken: number;
  /** Decode state bytes a sequence at the given context. */
  stateBytes: number;
  /** Activation bytes kept for the backward pass, a sequence. */
  savedBytes: number;
}
export interface Inspection {
  problems: Problem[];
  nodes: NodeFacts[];
  /** What the problems and costs are told for. */
  objective: ObjectiveKind;
  /** Blocks whose outputs depend on later tokens. */
  ahead: string[];
  total: {
    parameters: number;
    embeddingParameters: number;
    flopsPerToken: number;
    stateBytes: number;
    savedBytes: number;
    /**
     * What a training step holds beside weights and optimiser state: it works in the largest of `once + rows · each` bytes, of the moments at which
     * that may be; `rows` sequences go through at a time. In bfloat16 where the native kernels keep what they may in 16 bits.
     */
    held: Record<Precision, { once: number; each: number }[]>;
    blocks: number;
  };
}

export interface ModelPreset {
  id: string;
  title: string;
  summary: string;
  translations?: { ru?: { title: string; summary: string } };
  model: ModelSpec;
  /** What the model is made to learn, where that is not the next token. */
  objective?: ObjectiveKind;
}
