// What the worker costs this machine, as `load` events.
import { memoryFacts } from '../ops';
import type { RunEventBody } from '../spec/event';

const EVERY_MS = 2000;

/** A meter to ask between updates: about every two seconds it has an event. Processor use is over that time, 100 for one core. */
export function loadMeter(now: () => number = () => performance.now()): (step: number) => RunEventBody | undefined {
  let at = now();
  let used = process.cpuUsage();
  return (step) => {
    const elapsed = now() - at;
    if (elapsed < EVERY_MS) return undefined;
    const { user, system } = process.cpuUsage(used);
    at += elapsed;
    used = process.cpuUsage();
    const { bytes, arenaBytes, tensors } = memoryFacts();
    return {
      kind: 'load',
      step,
      cpuPercent: Math.round((user + system) / 10 / elapsed),
      rssBytes: process.memoryUsage.rss(),
      tensorBytes: bytes + arenaBytes,
      tensors,
    };
  };
}
