// The shape of a RunEvent as it stands in `events.jsonl`: a log may come from elsewhere, so every line is checked.
import { z } from 'zod';
import type { RunEvent } from '../spec/event';
import { DEVICES } from '../spec/run';

const whole = z.int().min(0);
const text = z.string().max(1_000_000);
const values = z.record(z.string().max(200), z.number().nullable());
const head = { seq: z.int().min(1), at: z.number(), step: whole };

const facts = z.object({
  parameters: z.number(),
  stepFlops: z.number(),
  stateBytes: z.number(),
  tokensPerStep: z.number(),
  device: z.enum(DEVICES),
  deviceDetail: text,
  threads: z.number(),
  precision: z.enum(['float32', 'bfloat16']),
  kernelVersion: text,
  fallbacks: z.array(text),
});

/** Keys that this build does not know are dropped, so that a log of a later build still reads. */
export const eventSchema: z.ZodType<RunEvent> = z.discriminatedUnion('kind', [
  z.object({ ...head, kind: z.literal('started'), pid: whole, version: text, resumed: z.boolean() }),
  z.object({ ...head, kind: z.literal('built'), facts }),
  z.object({ ...head, kind: z.literal('state'), status: z.enum(['running', 'paused']) }),
  z.object({ ...head, kind: z.literal('metric'), tokens: whole, seconds: z.number(), values }),
  z.object({ ...head, kind: z.literal('evaluation'), tokens: whole, seconds: z.number(), values }),
  z.object({
    ...head,
    kind: z.literal('sample'),
    prompt: text,
    text,
    temperature: z.number(),
    fills: z
      .array(z.object({ at: whole, length: whole, due: text }))
      .max(100_000)
      .optional(),
  }),
  z.object({
    ...head,
    kind: z.literal('load'),
    cpuPercent: z.number(),
    rssBytes: z.number(),
    tensorBytes: z.number(),
    tensors: z.number(),
  }),
  z.object({ ...head, kind: z.literal('checkpoint'), file: text, sizeBytes: z.number(), final: z.boolean() }),
  z.object({ ...head, kind: z.literal('warning'), code: z.string().max(100), message: text }),
  z.object({
    ...head,
    kind: z.literal('ended'),
    status: z.enum(['finished', 'stopped', 'failed', 'interrupted']),
    why: text,
  }),
]);
