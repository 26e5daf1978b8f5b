// How blocks agree with their published code: what was measured here, and measuring it anew on a device.
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { blocks } from '../blocks';
import { countCases } from '../engine/agreement';
import { SpecError } from '../spec/error';
import { nearest } from '../spec/options';
import { DEVICES } from '../spec/run';
import { agreements as listed, saveAgreement } from '../store/agreement';
import { startComparison } from './agreement';
import type { Implementation } from './contract';
import type { Lab } from './lab';
import { type Caller, type Inputs, id, nothing } from './method';

/** One at a time, so that none waits for the processor longer than for its own sums. */
const MAX_AT_ONCE = 1;
/** A software GPU compiles a shader for seconds. */
const SILENCE_MS = 300_000;

export const inputs: Inputs<'agreements'> = {
  list: nothing,
  start: z.strictObject({ blocks: z.array(id).min(1).max(1000), device: z.enum(DEVICES) }),
  cancel: z.strictObject({ id }),
};

export function agreements({ store, probe, golden, closing, tell }: Lab, silenceMs = SILENCE_MS) {
  const going = new Map<string, () => void>();
  let counts: Record<string, number> | undefined;
  const cases = () => {
    counts ??= countCases(golden(), blocks.keys());
    return counts;
  };
  return {
    list: () => ({ tested: listed(store), cases: cases() }),
    start({ blocks: wanted, device }, caller?: Caller) {
      if (!caller) throw new Error('internal: a comparison was asked for by nobody');
      for (const block of wanted)
        if (!cases()[block]) {
          const near = nearest(block, Object.keys(cases()));
          throw new SpecError([
            {
              path: 'blocks',
              message: blocks.has(block)
                ? `${block} has no golden case: nothing was published to compare it with`
                : `there is no block ${JSON.stringify(block)}`,
              hint: near && `did you mean ${near}?`,
            },
          ]);
        }
      if (going.size >= MAX_AT_ONCE)
        throw new SpecError('a comparison is at work already; wait for its end, or cancel it');
      const id = randomUUID();
      const cancel = startComparison({
        script: probe(),
        golden: golden(),
        device,
        blocks: wanted,
        silenceMs,
        hear(message) {
          if ('agreement' in message) {
            saveAgreement(store, message.agreement);
            tell({ kind: 'agreements' });
          } else caller.tell({ kind: 'agreement', id, done: false, progress: message.progress });
        },
        ended(error) {
          going.delete(id);
          for (const signal of [caller.gone, closing]) signal.removeEventListener('abort', cancel);
          caller.tell({ kind: 'agreement', id, done: true, ...(error !== undefined && { error }) });
        },
      });
      going.set(id, cancel);
      for (const signal of [caller.gone, closing]) signal.addEventListener('abort', cancel);
      if (caller.gone.aborted || closing.aborted) cancel();
      return { id };
    },
    cancel: ({ id }) => going.get(id)?.(),
  } satisfies Implementation['agreements'];
}
