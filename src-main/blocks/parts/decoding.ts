// What a block's step may ask of the decoding around it, so that the step can be captured; stepped alone, a block gets the plain answers.
import type { Tensor, Tensor2D, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { attentionDecode } from '../../../kernels/attention-decode/kernel';
import { bind, hasKernel, isReference, runKernel, tf } from '../../ops';
import type { Cache, StepContext } from '../define';
import { turnTail } from './decoupled';
import { type Rotary, turnTable } from './rotary';

type Context = StepContext<unknown>;

/** The cache `before` (of that name in the block's state, absent before the first token) with a further token, row [.., 1, width]. */
export function append(context: Context, name: string, before: Tensor | undefined, row: Tensor): Cache {
  if (context.decoding) return context.decoding.append(name, row);
  return { rows: before ? tf.concat([before, row], row.rank - 2) : row };
}

/** Numbers of a token. */
export const widthOf = ({ rows, width }: Cache): number => width ?? rows.shape[rows.rank - 1]!;

/** The tokens of a cache that count, as a tensor of their number. */
export function filled({ rows: kept, length, width }: Cache): Tensor {
  const rows = width === undefined ? kept : runKernel('FromHalves', { words: kept }, { width }).x;
  if (!length) return rows;
  const size = rows.shape.slice();
  [size[rows.rank - 2]] = length.dataSync();
  return tf.slice(
    rows,
    rows.shape.map(() => 0),
    size,
  );
}

/** Whether the token is the first one. */
export const isFirst = (context: Context): boolean => when(context, 'first', (position) => position === 0);

/** Whether `test` holds at the position; `name` tells tests apart. */
export const when = (context: Context, name: string, test: (position: number) => boolean): boolean =>
  context.decoding ? context.decoding.when(name, test) : test(context.position);

/** A tensor that follows from the weights alone; `name` is the block's own. */
export const once = <T extends Tensor>(context: Context, name: string, make: () => T): T =>
  (context.decoding ? context.decoding.once(name, make) : make()) as T;

/** What follows from a position, worked out once for as long as the position stays. */
function newest<Result>(work: (position: number) => Result): (position: number) => Result {
  let known: { position: number; result: Result } | undefined;
  return (position) => {
    if (known?.position !== position) known = { position, result: work(position) };
    return known.result;
  };
}

/** cos and sin [1, d/2] of the token's position; undefined where no pair turns. */
export function rotaryNow(context: Context, headDim: number, rotary: Rotary) {
  if (Math.floor(rotary.fraction * (headDim / 2)) === 0) return undefined;
  const shape: [number, number] = [1, headDim / 2];
  const { decoding } = context;
  const tables = newest((position) => turnTable(position, 1, headDim, rotary));
  const table = (name: 'cos' | 'sin') => {
    const read = (position: number) => tables(position)[name];
    if (!decoding) return tf.tensor2d(read(context.position), shape);
    return decoding.now(`${name} ${headDim} ${rotary.theta} ${rotary.fraction}`, shape, read) as Tensor2D;
  };
  return { cos: table('cos'), sin: table('sin') };
}

/** u [B, 1, H, d] with its last r channels turned by the tables of the token's position, where there are any. */
export function turnNow(u: Tensor4D, r: number, tables: ReturnType<typeof rotaryNow>): Tensor4D {
  if (!tables) return u;
  if (isReference() || !hasKernel('Rotate')) return turnTail(u, r, tables);
  return runKernel('Rotate', { u, ...tables }, {}).y as Tensor4D;
}

const attendOne = bind(attentionDecode, {
  replaces: ({ q, k, v, qs, ks, slopes, sinks, length }, { scale, softCap }) => {
    const [B, H, a] = q!.shape;
    const [, G, , width] = k!.shape;
    const [, Gv, room, e] = v!.shape;
    const n = length ? (length.dataSync()[0] as number) : room;
    const first = (u: Tensor, ...size: number[]) =>
      tf.slice(
        u,
        size.map(() => 0),
        size,
      );
    const keys = tf.reshape(first(k!, B, G, n, Math.min(a, width)), [B * G, n, a]) as Tensor3D;
    const products = tf.matMul(tf.reshape(q!, [B * G, H / G, a]) as Tensor3D, keys, false, true);
    const own = tf.reshape(products, [B, H, n]);
    const shared = qs && ks && tf.matMul(qs as Tensor3D, first(ks, B, n, ks.shape[2]!) as Tensor3D, false, true);
    const scaled = tf.mul(shared ? tf.add(own, shared) : own, Number(scale));
    const cap = Number(softCap ?? 0);
    const capped = cap > 0 ? tf.mul(tf.tanh(tf.div(scaled, cap)), cap) : scaled;
    const falls = slopes && tf.mul(tf.reshape(slopes, [1, H, 1]), tf.range(n - 1, -1, -1));
    const scores = falls ? tf.sub(capped, falls) : capped;
    const sink = sinks && tf.add(tf.zeros([B, H, 1]), tf.reshape(sinks, [1, H, 1]));
    const shares = tf.slice(tf.softmax(sink ? tf.concat([scores, sink], 2) : scores), [0, 0, 0], [B, H, n]);
    const values = tf.reshape(first(v!, B, Gv, n, e), [B * Gv, n, e]) as Tensor3D;
    const sums = tf.matMul(tf.reshape(shares, [B * Gv, H / Gv, n]) as Tensor3D, values);
    return { o: tf.reshape(sums, [B, H, e]) };
  },
});

/** One query a head against what is kept of the tokens so far. */
export interface OneQuery {
  /** [B, H, a] */
  q: Tensor;
  /** [B, G, n, at least a]: of a wider key only the first a channels count. */
  k: Cache;
  /** [B, Gv, n, e]; how many tokens count is taken from here. */
  v: Cache;
  /** A part that all heads share: queries [B, H, r] and keys [B, n, r]. */
  shared?: { q: Tensor; k: Cache };
  /** [H]: scores fall by as much for each token of distance. */
  slopes?: Tensor;
  /** [H]: scores of one more token, which is worth nothing. */
  sinks?: Tensor;
  /** Scores go through cap · tanh(score / cap) before they fall; 0: as they are. */
  softCap?: number;
}

/** o [B, H, e]: softmax over the tokens of (q·k + shared) · scale, times v. Head h reads group floor(h · groups / H) of keys and of values. */
export function attendCaches({ q, k, v, shared, slopes, sinks, softCap }: OneQuery, scale: number): Tensor3D {
  const kept = { k: k.rows, v: v.rows, ks: shared?.k.rows, length: v.length };
  if (v.width !== undefined) {
    const attributes = { scale, softCap, valueWidth: v.width };
    return runKernel('AttentionDecodeHalves', { q, ...kept, qs: shared?.q, slopes, sinks }, attributes).o as Tensor3D;
  }
  return attendOne({ q, ...kept, qs: shared?.q, slopes, sinks }, { scale, softCap }).o as Tensor3D;
}
