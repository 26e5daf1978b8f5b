// Optimisers: one update of all weights from their gradients. Their state is plain and saved by name.
import type { Scalar, Tensor, Tensor2D, Variable } from '@tensorflow/tfjs-core';
import type { WeightSpec } from '../blocks/define';
import {
  adamwRates,
  fed,
  fedNumber,
  hasKernel,
  keepTogether,
  runKernel,
  store,
  tf,
  type Update,
  update,
  updateAll,
} from '../ops';
import { SpecError } from '../spec/error';
import type { OptimiserSpec } from '../spec/run';
import type { PlainTensor } from './safetensors';

export type Gradients = ReadonlyMap<string, Tensor>;

export interface Optimiser {
  /**
   * One update. A weight without a gradient keeps its value.
   * @param scale factor on all gradients, a scalar on the device, as clipping gives it. On devices whose steps are whole (`StepCapture.whole`), one
   * that is not a finite number leaves weights and state as they are.
   */
  update(gradients: Gradients, lr: number, scale?: Scalar): void;
  /** Counts an update whose computing a captured step is about to do, and gives the numbers that it is fed with. */
  advance(lr: number): void;
  /** Takes one from the count: the device left the last update out. */
  retreat(): void;
  /** State by name, e.g. `m/layers.0.w_q`, and `updates`: how many were made. */
  save(): Promise<Map<string, PlainTensor>>;
  /** @throws SpecError if a name or shape differs from what this optimiser keeps. */
  load(state: ReadonlyMap<string, PlainTensor>): void;
  dispose(): void;
}

type Weights = ReadonlyMap<string, Variable>;
type Specs = ReadonlyMap<string, WeightSpec>;

/** Whether weight decay applies: what the block says, or to matrices only. */
export const decays = (spec: WeightSpec): boolean => spec.decay ?? spec.shape.length >= 2;
/** Whether Muon takes a weight: what the block says, or matrices of blocks; embeddings and head are AdamW's. */
export const isMuon = (name: string, spec: WeightSpec): boolean =>
  spec.shape.length === 2 && (spec.muon ?? name.startsWith('layers.'));

/** An optimiser over these weights; it keeps them by reference and owns only its state. */
export function makeOptimiser(spec: OptimiserSpec, weights: Weights, specs: Specs): Optimiser {
  const names = [...weights.keys()];
  const now: Now = { lr: spec.lr, updates: 0 };
  const rules: Rule[] = [];
  if (spec.kind === 'adamw') rules.push(adamw(spec, now, names, weights, specs));
  if (spec.kind === 'sgd') rules.push(sgd(spec, now, names, weights, specs));
  if (spec.kind === 'muon') {
    const matrices = names.filter((name) => isMuon(name, specs.get(name)!));
    const rest = names.filter((name) => !matrices.includes(name));
    rules.push(muon(spec, now, matrices, weights, specs));
    const { weightDecay, adamScale } = spec;
    const settings = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay, lrScale: adamScale };
    rules.push(adamw(settings, now, rest, weights, specs));
  }
  const state = new Map(rules.flatMap((rule) => [...rule.state]));
  const advance = (lr: number) => {
    now.lr = lr;
    now.updates += 1;
  };
  return {
    update(gradients, lr, scale) {
      advance(lr);
      tf.tidy(() => {
        for (const rule of rules) rule.update(gradients, scale);
      });
    },
    advance,
    retreat: () => {
      now.updates -= 1;
    },
    async save() {
      const saved = new Map<string, PlainTensor>([['updates', { shape: [1], data: Int32Array.of(now.updates) }]]);
      for (const [name, variable] of state)
        saved.set(name, { shape: variable.shape, data: (await variable.data()) as Float32Array });
      return saved;
    },
    load(saved) {
      const count = saved.get('updates');
      if (!count) throw new SpecError('the optimiser state does not say how many updates were made');
      assignAll(state, new Map([...saved].filter(([name]) => name !== 'updates')), 'the optimiser state');
      now.updates = Number(count.data[0]);
    },
    dispose() {
      for (const variable of state.values()) variable.dispose();
    },
  };
}

/**
 * Puts saved numbers into variables of the same names and shapes.
 * @throws SpecError naming the tensor that is missing, left over or of another shape; then nothing was changed.
 */
export function assignAll(variables: Weights, saved: ReadonlyMap<string, PlainTensor>, what: string): void {
  const wrong = [
    ...[...variables].flatMap(([name, { shape }]) => {
      const given = saved.get(name);
      if (!given) return `${what} lacks ${name} [${shape}]`;
      const fits = given.shape.length === shape.length && given.shape.every((d, i) => d === shape[i]);
      return fits ? [] : `${what} has ${name} as [${given.shape}], the model wants [${shape}]`;
    }),
    ...[...saved.keys()]
      .filter((name) => !variables.has(name))
      .map((name) => `${what} has ${name}, which nothing wants`),
  ];
  if (wrong.length) throw new SpecError(wrong.map((message) => ({ path: '', message })));
  for (const [name, variable] of variables) {
    const { shape, data } = saved.get(name)!;
    const value = tf.tensor(data as Float32Array, [...shape], 'float32');
    variable.assign(value);
    value.dispose();
  }
}

/** What changes from update to update. Tensors made of it are fed, so that a captured step sees it change. */
interface Now {
  lr: number;
  /** Counts from 1, this update included. */
  updates: number;
}

/** One update rule over a group of weights. */
interface Rule {
  state: Map<string, Variable>;
  update(gradients: Gradients, scale: Scalar | undefined): void;
}

function zerosLike(prefix: string, names: readonly string[], specs: Specs): Map<string, Variable> {
  const made = new Map(
    names.map((name) => [
      `${prefix}/${name}`,
      tf.tidy(() => tf.variable(tf.zeros([...specs.get(name)!.shape]), false)),
    ]),
  );
  keepTogether(made.values());
  return made;
}

const scaled = (gradient: Tensor, scale: Scalar | undefined) => (scale ? tf.mul(gradient, scale) : gradient);

interface AdamWSettings {
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  lrScale?: number;
}

/**
 * AdamW (Loshchilov and Hutter, arXiv 1711.05101), with decay scaled by the learning rate as in PyTorch:
 * m = β1 m + (1-β1) g, v = β2 v + (1-β2) g², w = w (1 - lr λ) - lr / (1-β1^t) · m / (√(v / (1-β2^t)) + ε).
 */
function adamw(settings: AdamWSettings, now: Now, names: readonly string[], weights: Weights, specs: Specs): Rule {
  const { beta1, beta2, eps, weightDecay, lrScale = 1 } = settings;
  const state = new Map([...zerosLike('m', names, specs), ...zerosLike('v', names, specs)]);
  const ratesAt = (decay: number) => adamwRates(now.lr * lrScale, beta1, beta2, decay, now.updates);
  return {
    state,
    update(gradients, scale) {
      const fused = hasKernel('AdamW');
      const feed = (decay: number) =>
        fused ? fed(() => Float32Array.from(ratesAt(decay)), [3], 'float32') : undefined;
      const [plain, decaying] = [feed(0), feed(weightDecay)];
      const updates: Update[] = [];
      for (const name of names) {
        const gradient = gradients.get(name);
        if (!gradient) continue;
        const [w, m, v] = [weights.get(name)!, state.get(`m/${name}`)!, state.get(`v/${name}`)!];
        const decay = decays(specs.get(name)!) && weightDecay > 0;
        if (fused) {
          const inputs = { weight: w, gradient, first: m, second: v, rates: decay ? decaying : plain, scale };
          updates.push({ inputs, attrs: { beta1, beta2, eps }, into: { weight: w, first: m, second: v } });
          continue;
        }
        const [keep, stepSize, unbias] = ratesAt(decay ? weightDecay : 0);
        const g = scaled(gradient, scale);
        m.assign(tf.add(tf.mul(m, beta1), tf.mul(g, 1 - beta1)));
        v.assign(tf.add(tf.mul(v, beta2), tf.mul(tf.square(g), 1 - beta2)));
        const kept = decay ? tf.mul(w, keep) : w;
        const direction = tf.div(m, tf.add(tf.mul(tf.sqrt(v), unbias), eps));
        w.assign(tf.sub(kept, tf.mul(direction, stepSize)));
      }
      updateAll('AdamW', updates);
    },
  };
}

/** Stochastic gradient descent as in PyTorch: g += λ w, b = μ b + g, w -= lr (g + μ b) with Nesterov, else w -= lr b. */
function sgd(
  { momentum, nesterov, weightDecay }: Extract<OptimiserSpec, { kind: 'sgd' }>,
  now: Now,
  names: readonly string[],
  weights: Weights,
  specs: Specs,
): Rule {
  const state = momentum > 0 ? zerosLike('momentum', names, specs) : new Map<string, Variable>();
  return {
    state,
    update(gradients, scale) {
      const fused = hasKernel('Sgd');
      const rate = fused ? fed(() => Float32Array.of(now.lr), [1], 'float32') : undefined;
      const updates: Update[] = [];
      for (const name of names) {
        const gradient = gradients.get(name);
        if (!gradient) continue;
        const w = weights.get(name)!;
        const buffer = state.get(`momentum/${name}`);
        const decay = decays(specs.get(name)!) ? weightDecay : 0;
        if (fused) {
          const attrs = { momentum, nesterov, weightDecay: decay };
          const into: Record<string, Variable> = buffer ? { weight: w, buffer } : { weight: w };
          updates.push({ inputs: { weight: w, gradient, buffer, rate, scale }, attrs, into });
          continue;
        }
        let g = scaled(gradient, scale);
        if (decay) g = tf.add(g, tf.mul(w, decay));
        if (buffer) {
          buffer.assign(tf.add(tf.mul(buffer, momentum), g));
          g = nesterov ? tf.add(g, tf.mul(buffer, momentum)) : buffer;
        }
        w.assign(tf.sub(w, tf.mul(g, now.lr)));
      }
      updateAll('Sgd', updates);
    },
  };
}

/** The new value of a weight or of its state, if the scale is a number. */
function replace(weight: Variable, next: Tensor, scale: Scalar | undefined): void {
  if (scale && hasKernel('StoreSound')) update('StoreSound', { weight, next, scale }, {}, { weight });
  else store(weight, next);
}

/**
 * Muon (Jordan et al. 2024, github.com/KellerJordan/Muon): the momentum of a matrix, made nearly orthogonal, is the step.
 * Matrices are stored [in, out] here, so the factor for tall ones is sqrt(max(1, out / in)).
 */
function muon(
  { momentum, nesterov, newtonSchulzSteps, weightDecay }: Extract<OptimiserSpec, { kind: 'muon' }>,
  now: Now,
  names: readonly string[],
  weights: Weights,
  specs: Specs,
): Rule {
  const state = zerosLike('momentum', names, specs);
  return {
    state,
    update(gradients, scale) {
      const keep = fedNumber(() => 1 - now.lr * weightDecay);
      for (const name of names) {
        const gradient = gradients.get(name);
        if (!gradient) continue;
        const [w, buffer] = [weights.get(name)!, state.get(`momentum/${name}`)!];
        const g = scaled(gradient, scale);
        replace(buffer, tf.add(tf.mul(buffer, momentum), tf.mul(g, 1 - momentum)), scale);
        const m = nesterov ? tf.add(tf.mul(g, 1 - momentum), tf.mul(buffer, momentum)) : buffer;
        const [rows, columns] = w.shape as [number, number];
        const rate = fedNumber(() => now.lr * Math.sqrt(Math.max(1, columns / rows)));
        const step = tf.mul(orthogonal(m as Tensor2D, newtonSchulzSteps), rate);
        const kept = decays(specs.get(name)!) ? tf.mul(w, keep) : w;
        replace(w, tf.sub(kept, step), scale);
      }
    },
  };
}

/** Newton-Schulz with Jordan's quintic: brings all singular values near 1, the more so the more steps. */
export function orthogonal(matrix: Tensor2D, steps: number): Tensor2D {
  return tf.tidy(() => {
    const [a, b, c] = [3.4445, -4.775, 2.0315];
    const [rows, columns] = matrix.shape;
    const wide = rows <= columns;
    let X: Tensor2D = wide ? matrix : tf.transpose(matrix);
    X = tf.div(X, tf.add(tf.sqrt(tf.sum(tf.square(X))), 1e-7));
    for (let i = 0; i < steps; i++) {
      const A = tf.matMul(X, X, false, true);
      const B = tf.add(tf.mul(A, b), tf.mul(tf.matMul(A, A), c)) as Tensor2D;
      X = tf.add(tf.mul(X, a), tf.matMul(B, X));
    }
    return wide ? X : tf.transpose(X);
  });
}

/** Euclidean norm of all gradients together. */
export function globalNorm(gradients: Gradients): Scalar {
  return tf.tidy(() => {
    if (hasKernel('SquareSumAll')) {
      const all = Object.fromEntries([...gradients.values()].map((x, i) => [`x${i}`, x]));
      return tf.sqrt(tf.engine().runKernel('SquareSumAll', all) as Scalar) as Scalar;
    }
    const fused = hasKernel('SquareSum');
    const squares = [...gradients.values()].map((x) =>
      fused ? runKernel('SquareSum', { x }, {}).sum : tf.sum(tf.square(x)),
    );
    return tf.sqrt(tf.addN(squares)) as Scalar;
  });
}

/** The factor that brings gradients of this norm down to `clip`: 1 where they are below. */
export const clipScale = (norm: Scalar, clip: number): Scalar => tf.tidy(() => tf.div(clip, tf.maximum(norm, clip)));
