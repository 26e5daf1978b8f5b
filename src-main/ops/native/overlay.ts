// Which buffers of a recorded step begin where another one ends: outputs that lie over an input of their call, which nobody reads any more.
import { kernels, readName } from '../kernels';
import { callsOf } from './halves';
import type { Span } from './plan';
import type { Made, Place } from './recording';

/** For each output of a kernel the inputs that it may lie over, by their numbers, the best first. */
export type Over = readonly (readonly number[])[];

/** What kernel.ts says of a kernel. */
export function overOf(name: string): Over {
  const kernel = kernels.get(name);
  const inputs = kernel?.inputs.map((declared) => readName(declared).name);
  return kernel?.over?.map((names) => names.map((one) => inputs!.indexOf(one))) ?? [];
}

/** For each place the one that it lies over, by index; its own where there is none. `over`: of a kernel by its number. */
export function findOverlays(
  code: readonly number[],
  places: readonly Place[],
  halves: readonly boolean[],
  over: (kernel: number) => Over,
): number[] {
  const below = places.map((_, i) => i);
  const taken = new Set<number>();
  let number = -1;
  for (const { kernel, inputs, used } of callsOf(code)) {
    number += 1;
    for (const [i, choices] of over(kernel).entries()) {
      const output = used[inputs + i];
      const mine = places[output];
      if (mine?.kind !== 'made' || mine.first !== number) continue;
      const found = choices.find((input) => {
        const place = used[input];
        const other = places[place];
        return (
          other?.kind === 'made' &&
          other.last === number &&
          other.bytes === mine.bytes &&
          halves[place] === halves[output] &&
          !taken.has(place) &&
          used.indexOf(place) === used.lastIndexOf(place) // else another argument is read in an order of its own
        );
      });
      if (found === undefined) continue;
      below[output] = used[found];
      taken.add(used[found]);
    }
  }
  return below;
}

/** The spans of memory that the made places need, and the number of its span for each of them, by index. */
export function spansOf(
  places: readonly Place[],
  halves: readonly boolean[],
  below: readonly number[],
): { spans: Span[]; spanOf: Map<number, number> } {
  const spans: Span[] = [];
  const spanOf = new Map<number, number>();
  // What lies over another one is first used after it.
  for (const { index, bytes, first, last } of places.filter((place): place is Made => place.kind === 'made')) {
    const under = below[index] === index ? undefined : spanOf.get(below[index]);
    if (under === undefined) spans.push({ bytes: halves[index] ? bytes / 2 : bytes, first, last });
    else spans[under].last = last;
    spanOf.set(index, under ?? spans.length - 1);
  }
  return { spans, spanOf };
}
