// Which buffers of a recorded step may hold bfloat16: those that only calls touch which can write 16 bits, or round what they read anyway.
import type { Place } from './recording';

/** Numbers before a call's places in the program's code: kernel, halves, inputs, outputs, ints, floats (kernels/core/program.h). */
export const HEAD = 6;

/** `made` places by index, true where the arguments of every call allow halves; the first call that touches one only writes it. */
export function findHalves(code: readonly number[], places: readonly Place[], able: readonly number[]): boolean[] {
  const written = new Set<number>();
  const halves = places.map(({ kind }) => kind === 'made');
  for (const { bits, inputs, used } of callsOf(code, able)) {
    const own = new Set<number>();
    for (const [i, place] of used.entries()) {
      if (place < 0) continue;
      const input = i < inputs;
      // One array in two arguments would be read while it is written.
      const twice = own.has(place) && !input;
      if (!bits(i) || twice || (input && !written.has(place))) halves[place] = false;
      own.add(place);
    }
    for (const place of used.slice(inputs)) written.add(place);
  }
  return halves;
}

/** The code with each call's `halves` filled in. */
export function markHalves(code: readonly number[], halves: readonly boolean[]): Float64Array {
  const marked = Float64Array.from(code);
  for (const { at, used } of callsOf(code))
    marked[at + 1] = used.reduce((bits, place, i) => (place >= 0 && halves[place] ? bits + 2 ** i : bits), 0);
  return marked;
}

interface UsedCall {
  kernel: number;
  /** Where it begins in the code. */
  at: number;
  inputs: number;
  /** Place of each argument, inputs first; -1: absent. */
  used: readonly number[];
  /** Whether argument i may hold halves. */
  bits(i: number): boolean;
}

/** The calls of a program in order; `able` as in findHalves. */
export function* callsOf(code: readonly number[], able: readonly number[] = []): Generator<UsedCall> {
  for (let at = 0, call = 0; at < code.length; call++) {
    const [inputs, outputs, ints, floats] = code.slice(at + 2, at + HEAD);
    const used = code.slice(at + HEAD, at + HEAD + inputs + outputs);
    const mask = able[call] ?? 0;
    yield { kernel: code[at], at, inputs, used, bits: (i) => i < 30 && ((mask >> i) & 1) === 1 };
    at += HEAD + inputs + outputs + ints + floats;
  }
}
