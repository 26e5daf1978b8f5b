// Decoding token by token: the state of every block between tokens, and one step through the stack, captured and played back where the device can.
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import type { State, StepContext } from '../blocks/define';
import { copyInto, fed, keepTogether, own, ServedWeights, StepCapture, tf } from '../ops';
import { SpecError } from '../spec/error';
import { Caches } from './caches';
import { growsByToken, stateShape } from './cost';
import type { PlannedBlock } from './plan';
import { enterOne, headOf, leave, type Now, runPlanned, type Stack } from './stack';

export interface DecodeOptions {
  /** False computes each step op by op. Default: unless ARCHLAB_CAPTURE is 0, steps are captured where that can be. */
  captured?: boolean;
}

/** What is kept between tokens. It belongs to the caller; a step changes it in place or frees what it replaces, so only the newest may be stepped. */
export interface DecodeState {
  /** Tokens read so far: the index of the next one. */
  position: number;
  batch: number;
  /** State of each block in order; caches that grow have room to spare, see `caches`. */
  layers: State[];
  /** Steps that were played back. */
  played: number;
  caches: Caches;
  /** What the steps of one text share. */
  text: Text;
}

/** Of one text: recorded steps, what they are fed, and what is made once. */
interface Text {
  capture: StepCapture;
  /** What captured steps read anew: the position, and the tokens int32 [B]. */
  live: { position: number; tokens: Int32Array };
  /** Tests on the position that a block's step has asked. */
  tests: Map<string, (position: number) => boolean>;
  /** Tensors that follow from the weights. */
  made: Map<string, Tensor>;
  /** Those made since the state last changed its shapes. */
  newlyMade: Tensor[];
  /** Copies of weights that products read. */
  served: ServedWeights;
  /** Shape of the step before: one is recorded when the next is like it. */
  before: string;
  /** Shapes that the state has had, and the numbers by which `keyOf` knows them. */
  known: Map<string, number>;
  /** The number of the shapes of these layers. */
  shapes: { layers: readonly State[]; number: number } | undefined;
}

const newText = (stack: Stack, batch: number, captured: boolean | undefined): Text => ({
  served: servedOf(stack),
  capture: new StepCapture(captured, 'Steps of decoding'),
  live: { position: 0, tokens: new Int32Array(batch) },
  tests: new Map(),
  made: new Map(),
  newlyMade: [],
  before: '',
  known: new Map(),
  shapes: undefined,
});

function servedOf(stack: Stack): ServedWeights {
  const served = new ServedWeights();
  for (const block of stack.blocks) for (const weight of Object.values(stack.own(block))) served.add(weight);
  served.add(headOf(stack));
  return served;
}

function check(stack: Stack, batch: number, causal: boolean): void {
  if (!Number.isInteger(batch) || batch < 1) throw new SpecError(`decoding wants at least one sequence, not ${batch}`);
  if (!causal) throw new SpecError('a model with blocks that look at later tokens can not be decoded token by token');
  for (const { block, path } of stack.blocks)
    if (!block.layer.step) throw new SpecError(`${block.id} can not be decoded token by token`, path);
}

/** The state before the first token. */
export function begin(stack: Stack, batch: number, causal: boolean, { captured }: DecodeOptions = {}): DecodeState {
  check(stack, batch, causal);
  const layers = stack.blocks.map(
    ({ block, options }): State => tf.tidy(() => block.layer.begin?.(batch, stack.spec.width, options) ?? {}),
  );
  return { position: 0, batch, layers, played: 0, caches: new Caches(), text: newText(stack, batch, captured) };
}

/**
 * A state shaped as after `tokens` tokens, its numbers from `fill`: for measuring, where reading so many would take long.
 * @throws as `begin`.
 */
export function stateAfter(
  stack: Stack,
  batch: number,
  causal: boolean,
  tokens: number,
  fill: (shape: number[]) => Tensor,
): DecodeState {
  check(stack, batch, causal);
  const caches = new Caches();
  const layers = stack.blocks.map(({ block, options, index }): State => {
    const specs = Object.entries(block.state?.(options, stack.spec.width) ?? {});
    return Object.fromEntries(
      specs.map(([name, spec]) => {
        const made = fill([batch, ...stateShape(spec, tokens)]);
        return [name, growsByToken(spec) ? caches.adopt(`${index}.${name}`, made) : made];
      }),
    );
  });
  return { position: tokens, batch, layers, played: 0, caches, text: newText(stack, batch, undefined) };
}

/** One token of each sequence, int32 [B], to logits [B, V] and the state after it. */
export function decodeStep(
  stack: Stack,
  tokens: Tensor1D,
  state: DecodeState,
): { logits: Tensor2D; state: DecodeState } {
  const [batch] = tokens.shape;
  if (batch !== state.batch)
    throw new SpecError(`${batch} tokens came for ${state.batch} sequences; a step takes one token of each`);
  const { position, caches, text } = state;
  text.live.position = position;
  if (caches.able) text.live.tokens.set(tokens.dataSync()); // elsewhere reading waits for the device
  const moved = caches.makeRoom();
  if (moved.size) {
    for (const layer of state.layers)
      for (const [name, tensor] of Object.entries(layer)) layer[name] = moved.get(tensor) ?? tensor;
    text.capture.dispose(); // what was recorded writes where the caches were
    text.shapes = undefined;
  }
  const { size } = text.known;
  const key = keyOf(state);
  if (text.known.size > size) settleDown(state);
  const captured = text.capture.find(key);
  if (captured) {
    captured.playFirst();
    caches.advanceAll();
    const logits = tf.tensor2d(captured.result.slice(), [batch, captured.result.length / batch]);
    return { logits, state: { ...state, position: position + 1, played: state.played + 1 } };
  }
  const settled = key === text.before; // the step before it had the same shapes, so it will be of use
  text.before = key;
  const done = compute(stack, tokens, state, settled ? key : undefined);
  caches.advance();
  return { logits: done.logits, state: { ...state, position: position + 1, layers: done.layers } };
}

/** Once a state has new shapes, which it will keep for a while: it and what has been made for its text move to where they are read fastest. */
function settleDown({ layers, text }: DecodeState): void {
  keepTogether(tensorsOf({ layers }));
  keepTogether(text.newlyMade.splice(0));
  text.served.keepTogether();
}

/** All that a step's calls depend on but the numbers that it is fed. */
function keyOf({ layers, position, text, caches }: DecodeState): string {
  if (text.shapes?.layers !== layers) {
    const shapes = layers.map((layer) => Object.entries(layer).map(([name, { shape }]) => `${name} ${shape}`));
    const all = shapes.join(';');
    if (!text.known.has(all)) text.known.set(all, text.known.size);
    text.shapes = { layers, number: text.known.get(all)! };
  }
  let key = `${text.shapes.number}|${caches.key}`;
  for (const test of text.tests.values()) key += `|${test(position)}`;
  return key;
}

/** The step as written here; under `key` it is recorded meanwhile. */
function compute(
  stack: Stack,
  tokens: Tensor1D,
  state: DecodeState,
  key: string | undefined,
): { logits: Tensor2D; layers: State[] } {
  const { batch, caches, text } = state;
  const session = key === undefined ? undefined : text.capture.record(key);
  try {
    const { logits, next } = text.served.during(() =>
      tf.tidy(() => {
        const next: State[] = [];
        const shared = {};
        const now = nowOf(state);
        const ids = caches.able ? fed(() => text.live.tokens, [batch, 1], 'int32') : tf.reshape(tokens, [batch, 1]);
        const y = runPlanned(stack, stack.layers, enterOne(stack, ids as Tensor2D, now), (planned, u) => {
          const { block, options, index } = planned;
          const context = contextOf(state, index, { options, shared }, now, () =>
            session?.refuse(`${block.id} computes with the position in JavaScript`),
          );
          const done = block.layer.step!(u, stack.own(planned), state.layers[index], context);
          next[index] = done.state;
          return done.y;
        });
        return { logits: tf.reshape(leave(stack, y), [batch, -1]) as Tensor2D, next };
      }),
    );
    const layers = settle(state, next);
    if (!caches.complete) session?.refuse('it leaves some caches as they are');
    if (!session) return { logits, layers };
    session.cut(logits);
    const values = logits.dataSync() as Float32Array;
    const { shape } = logits;
    session.resume();
    logits.dispose();
    session.end();
    return { logits: tf.tensor2d(values, shape), layers };
  } finally {
    session?.abandon();
  }
}

/** Each key's tensor is made once a step. */
function nowOf({ text: { live } }: DecodeState): Now {
  const made = new Map<string, Tensor>();
  return (key, shape, read) => {
    const known = made.get(key);
    if (known) return known;
    const whole = read(live.position) instanceof Int32Array;
    const tensor = fed(() => read(live.position), shape, whole ? 'int32' : 'float32');
    made.set(key, tensor);
    return tensor;
  };
}

function contextOf(
  { position, text, caches }: DecodeState,
  index: number,
  rest: { options: PlannedBlock['options']; shared: Record<string, Tensor> },
  now: Now,
  onRead: () => void,
): StepContext<PlannedBlock['options']> {
  const once = (name: string, make: () => Tensor): Tensor => {
    const key = `${index}.${name}`;
    const known = text.made.get(key);
    if (known) return known;
    const tensor = tf.keep(tf.tidy(() => own(make())));
    text.made.set(key, tensor);
    text.newlyMade.push(tensor);
    text.served.add(tensor);
    return tensor;
  };
  return {
    ...rest,
    get position() {
      onRead();
      return position;
    },
    decoding: caches.able
      ? {
          append: (name, row) => caches.append(`${index}.${name}`, row),
          now,
          once,
          when(name, test) {
            if (!text.tests.has(name)) text.tests.set(name, test);
            return test(position);
          },
        }
      : undefined,
  };
}

/** The state with its newest `tokens` gone from the caches, so that a context can be measured again; what is of one size stays as it is. */
export function setBack(state: DecodeState, tokens: number): DecodeState {
  state.caches.setBack(tokens);
  return { ...state, position: state.position - tokens };
}

interface Move {
  layer: State;
  name: string;
  from: Tensor;
  /** The tensor of that name before the step. */
  to: Tensor | undefined;
}

/**
 * The blocks' state after a step. A tensor shaped as the one before goes where that one lies, so that the next step finds it there; where the device
 * cannot, it takes its place. What is not needed any more is freed.
 */
function settle(state: DecodeState, next: readonly State[]): State[] {
  const { caches } = state;
  const before = new Set(tensorsOf(state));
  const after = new Set(tensorsOf({ layers: next }));
  const layers = next.map((layer) => ({ ...layer }));
  let moves = layers.flatMap((layer, i): Move[] =>
    Object.entries(layer)
      .map(([name, from]) => ({ layer, name, from, to: state.layers[i][name] as Tensor | undefined }))
      .filter(({ from, to }) => from !== to && !caches.holds(from)),
  );
  // A view of what lies there already has not moved.
  moves = moves.filter(({ layer, name, from, to }) => {
    if (to?.dataId !== from.dataId || String(to.shape) !== String(from.shape)) return true;
    layer[name] = to;
    return false;
  });
  // A tensor that has changed its name is read from a copy, for what it is now is written where it lies.
  for (const move of moves) if (before.has(move.from)) move.from = own(move.from);
  // One whose memory another still reads waits until that one has moved.
  for (let count = -1; caches.able && moves.length !== count; ) {
    count = moves.length;
    moves = moves.filter(({ layer, name, from, to }) => {
      if (!to || caches.holds(to) || String(to.shape) !== String(from.shape) || !copyInto(to, from)) return true;
      layer[name] = to;
      if (tensorsOf({ layers }).every((other) => other !== from)) from.dispose();
      return false;
    });
  }
  for (const { layer, name, from } of moves) layer[name] = caches.able ? own(from) : from;
  const kept = new Set(tensorsOf({ layers }));
  for (const tensor of new Set([...before, ...after, ...moves.map(({ from }) => from)]))
    if (!kept.has(tensor) && !caches.holds(tensor) && !tensor.isDisposed) tensor.dispose();
  return layers;
}

const tensorsOf = ({ layers }: { layers: readonly State[] }): Tensor[] =>
  layers.flatMap((layer) => Object.values(layer));

/** Frees a state that is not stepped any more. */
export function disposeState(state: DecodeState): void {
  const { caches, text } = state;
  for (const tensor of new Set(tensorsOf(state))) if (!caches.holds(tensor)) tensor.dispose();
  caches.dispose();
  text.capture.dispose();
  for (const tensor of text.made.values()) tensor.dispose();
  text.made.clear();
  text.served.dispose();
}

/** Bytes of the state of one sequence: of a cache that has room to spare, the tokens in it. */
export const stateBytesOf = (state: DecodeState): number =>
  tensorsOf(state).reduce((bytes, tensor) => bytes + state.caches.bytesIn(tensor), 0) / state.batch;
