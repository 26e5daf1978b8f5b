// `heartbeat.json`: proof of life of the worker, rewritten about once a second.
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const HEARTBEAT_FILE = 'heartbeat.json';
const EVERY_MS = 1000;

/** Starts beating; returns the stop. `startTime` tells this process from a later one with the same id. */
export function beat(folder: string, step: () => number): () => void {
  const write = () => {
    const path = join(folder, HEARTBEAT_FILE);
    const startTime = Math.round(performance.timeOrigin);
    try {
      writeFileSync(`${path}.part`, JSON.stringify({ pid: process.pid, startTime, at: Date.now(), step: step() }));
      renameSync(`${path}.part`, path);
    } catch {
      // A full disk, or a reader that holds the file open on Windows: the next beat tries again.
    }
  };
  write();
  const timer = setInterval(write, EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
