// What a block is: its card, its weights and state, its cost, and the layer that runs it.
import type { Rank, Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import type { BlockRole, Usual } from '../spec/card';
import type { Problem } from '../spec/error';
import type { Options, ValuesOf } from '../spec/options';

/** Draws numbers for one weight; seeded by the run's seed and the weight's full name, so order does not matter. */
export interface Draw {
  /** Uniform in [0, 1). */
  uniform(): number;
  /** Standard normal. */
  normal(): number;
}

/** How a weight starts. `branch`: divided by sqrt(number of residual branches in the model) after drawing. */
export type Init =
  | { kind: 'zeros' | 'ones' }
  | { kind: 'normal'; std: number; branch?: boolean }
  | { kind: 'uniform'; bound: number; branch?: boolean }
  | { kind: 'drawn'; value: (draw: Draw, index: number) => number };

export interface WeightSpec {
  shape: readonly number[];
  init: Init;
  /** Weight decay applies; default: to matrices only (rank >= 2). */
  decay?: boolean;
  /** Muon may orthogonalise it; default: to matrices of blocks. */
  muon?: boolean;
}

/** One tensor of the decode state. `'T'` stands for the number of tokens so far: the axis that grows. No batch axis. */
export interface StateSpec {
  shape: readonly (number | 'T')[];
  /** Where the growing axis stops growing: a window that drops its oldest token. */
  most?: number;
  /** By how many tokens the growing axis is behind the newest. */
  behind?: number;
}

/** Cost over one sequence of T tokens. FLOPs are those of the mathematics, multiply-add = 2: what a kernel makes again in the gradient to save memory does not count. */
export interface Cost {
  forwardFlops: number;
  backwardFlops: number;
  /**
   * Float32 numbers that stay from the forward pass to the backward pass where the native kernels serve, a sequence: the block's input counts, its
   * output does not, since what reads it next counts it.
   */
  savedNumbers: number;
  /** Of these, what a captured step in bfloat16 keeps in 16 bits, since products alone read it. Default: T D, the block's input. */
  savedHalves?: number;
  /** The same of what does not grow with the number of sequences: copies of weights. Default 0. */
  savedOnce?: number;
  /** The most that the block's backward pass holds at once beside what it kept, a sequence, with the slopes of its output. Default: 3 T D. */
  workingNumbers?: number;
  /** Of these, what is in 16 bits in bfloat16. Default 0. */
  workingHalves?: number;
  /** What is held in 16 bits besides in bfloat16: in float32 it lies over the numbers that it follows from, where 16 bits can't. Default 0. */
  besideHalves?: number;
}

export type Weights = Record<string, Tensor>;
export type State = Record<string, Tensor>;

/** Random numbers of one place in a training step: a pure function of the run's seed, the place, and the step in the counter (kernels/dropout). */
export interface Chance {
  seed: number;
  /** Tells the places of one model apart. */
  site: number;
  /** int32 [2]: the step, and the row of the whole batch that the tensors begin with. */
  counter: Tensor;
}

export interface LayerContext<O> {
  options: O;
  /** In a training step of a model that draws random numbers. */
  chance?: Chance;
  /** True inside a training step: what is meant for evaluation only stays out. */
  training?: boolean;
  /** What blocks hand to later ones within one pass, by name: a value residual. One record a pass; a step has its own. */
  shared?: Record<string, Tensor>;
  /** Present in parity and analyses: take the tensor named as in the spec's `extra/*`. The taker must not keep it undisposed. */
  extra?(name: string, value: Tensor): void;
}
export interface StepContext<O> extends LayerContext<O> {
  /**
   * Index of the token being decoded, from 0. A step that reads it computes with it in JavaScript and is not captured: parts/decoding.ts has ways that
   * let it be.
   */
  position: number;
  /** What a model that decodes offers; absent where a block is stepped alone. Ask through parts/decoding.ts. */
  decoding?: Decoding;
}

/** Tokens kept along the second last axis: rows [.., n, width]. */
export interface Cache {
  rows: Tensor;
  /** int32 [1]: only so many tokens count, the rest is room to grow. Absent: all count. */
  length?: Tensor;
  /** Present where the rows hold bfloat16, two numbers in a word of int32 (kernels/halves): numbers of a token. */
  width?: number;
}
export interface Decoding {
  /** The block's cache of this name with a further token, row [.., 1, width]. */
  append(name: string, row: Tensor): Cache;
  /** A tensor that follows from the position, made anew for each token; one for all blocks that ask for this key. */
  now(key: string, shape: number[], read: (position: number) => Float32Array): Tensor;
  /** Whether `test` holds at this position; a step is captured apart for each answer. `name` tells tests apart. */
  when(name: string, test: (position: number) => boolean): boolean;
  /** A tensor that follows from the weights alone, made once a text. `name` is the block's own. */
  once(name: string, make: () => Tensor): Tensor;
}

/** The computation. All tensors are TF.js tensors on the current backend; the caller tidies. */
export interface Layer<O> {
  /** `[B, T, D]` in, `[B, T, D]` out: the whole sequence at once. */
  forward(x: Tensor3D, weights: Weights, context: LayerContext<O>): Tensor3D;
  /** The state before the first token, for `batch` sequences; axes named 'T' start at length 0 (leave such tensors out). */
  begin?(batch: number, width: number, options: O): State;
  /** One token: `[B, 1, D]` and the state so far to `[B, 1, D]` and the state after. Absent where the block is not causal. */
  step?(x: Tensor3D, weights: Weights, state: State, context: StepContext<O>): { y: Tensor3D; state: State };
}

/** Where a block stands in a model: all its blocks in order, and this one's index among them. */
export interface Place {
  ids: readonly string[];
  roles: readonly BlockRole[];
  index: number;
}

/** What a block finds around it in a planned model: the blocks that compute before it, and the most tokens of a sequence. */
export interface Surroundings {
  before: readonly { id: string; options: object }[];
  tokens: number;
}

export interface BlockDefinition<S extends Options = Options> {
  /** The folder's name. */
  id: string;
  role: BlockRole;
  title: string;
  paper?: string;
  options: S;
  /** Rules that join several options with each other and with the width D. */
  rules?(options: ValuesOf<S>, width: number, path: string): Problem[];
  /** Fills in options that follow from where the block stands in its model (its depth); asked once, when a model is planned. */
  placed?(options: ValuesOf<S>, place: Place): ValuesOf<S>;
  /** What does not fit where it stands; asked with the options that `placed` gives. */
  fits?(options: ValuesOf<S>, around: Surroundings, path: string): Problem[];
  /** How the block usually stands in the stream, where its node does not say; default: an RMS norm before it, a residual around it. */
  usual?: Usual;
  /** True if a training step draws random numbers for it: then its context holds `chance`. */
  random?(options: ValuesOf<S>): boolean;
  /** False if an earlier output may depend on a later token: refused in a causal language model. */
  causal(options: ValuesOf<S>): boolean;
  weights(options: ValuesOf<S>, width: number): Record<string, WeightSpec>;
  /** The decode state a sequence; `{}` for none, undefined where the block can't be decoded. */
  state?(options: ValuesOf<S>, width: number): Record<string, StateSpec>;
  cost(options: ValuesOf<S>, width: number, tokens: number): Cost;
  layer: Layer<ValuesOf<S>>;
  /** Reads the `config` of a golden case of this block (spec names) into our width and options. */
  golden?(config: Record<string, unknown>): { width: number; options: ValuesOf<S> };
}

/** Any block, when its options' types do not matter. */
// biome-ignore lint/suspicious/noExplicitAny: options are checked against the block's own description before use.
export type AnyBlock = BlockDefinition<any>;

/** A computation below the level of a layer, by the tensor names of its spec: blocks are built on it, models do not place it. */
export interface OperatorDefinition<S extends Options = Options> {
  /** The folder's name. */
  id: string;
  role: 'operator';
  title: string;
  paper?: string;
  options: S;
  /** Named inputs to named outputs, all tokens at once. */
  run(inputs: Weights, context: LayerContext<ValuesOf<S>>): Weights;
  /** The same token by token, with the state after the last one. */
  decode?(inputs: Weights, context: LayerContext<ValuesOf<S>>): { outputs: Weights; state: State };
  /** Reads the `config` of a golden case into our options. */
  golden?(config: Record<string, unknown>): { options: ValuesOf<S> };
}

/** Any operator, when its options' types do not matter. */
// biome-ignore lint/suspicious/noExplicitAny: options are checked against the operator's own description before use.
export type AnyOperator = OperatorDefinition<any>;

export const defineOperator = <S extends Options>(operator: OperatorDefinition<S>): OperatorDefinition<S> => operator;

export const defineBlock = <S extends Options>(block: BlockDefinition<S>): BlockDefinition<S> => block;

export type { Rank };
