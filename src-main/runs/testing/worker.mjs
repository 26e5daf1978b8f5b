// A worker for tests: counts steps instead of training, and fails in the way that the run's name asks for.
import { closeSync, existsSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.argv[process.argv.indexOf('--run') + 1];
const spec = JSON.parse(readFileSync(join(folder, 'spec.json'), 'utf8'));
const mode = spec.name;
const log = join(folder, 'events.jsonl');

const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(0, -1) : [];
const past = lines.map((line) => JSON.parse(line));
let seq = past.at(-1)?.seq ?? 0;
let step = past.filter(({ kind }) => kind === 'checkpoint').at(-1)?.step ?? 0;
const fd = openSync(log, 'a');

const append = (body) => {
  seq += 1;
  writeSync(fd, `${JSON.stringify({ seq, at: Date.now(), step, ...body })}\n`);
  if (process.connected) process.send({ kind: 'wrote', seq }, () => {});
};
const startTime = Math.round(performance.timeOrigin);
const beat = () => {
  const path = join(folder, 'heartbeat.json');
  writeFileSync(`${path}.part`, JSON.stringify({ pid: process.pid, startTime, at: Date.now(), step }));
  renameSync(`${path}.part`, path);
};
const checkpoint = () => {
  const file = `step-${String(step).padStart(8, '0')}.safetensors`;
  writeFileSync(join(folder, 'checkpoints', file), 'weights');
  append({ kind: 'checkpoint', file, sizeBytes: 7, final: false });
};
const end = (status, why) => {
  checkpoint();
  append({ kind: 'ended', status, why });
  beat();
  closeSync(fd);
  if (mode !== 'lingers') process.exit(0);
  clearInterval(counting);
  setTimeout(() => process.exit(0), 300);
};

let paused = false;
let single = 0;
process.on('message', ({ kind, count }) => {
  if (kind === 'threads') writeFileSync(join(folder, 'threads'), `${count}`);
  if (kind === 'stop') end('stopped', 'Stopped by the user.');
  if (kind === 'pause' || kind === 'resume') {
    paused = kind === 'pause';
    append({ kind: 'state', status: paused ? 'paused' : 'running' });
  }
  if (kind === 'step') single = 1;
});
process.on('disconnect', () => {
  if (mode !== 'deaf') end('interrupted', 'The lab went away.');
});
process.on('SIGTERM', () => {
  if (mode !== 'deaf') end('stopped', 'Stopped by a signal.');
});

append({ kind: 'started', pid: process.pid, version: '0', resumed: past.length > 0 });
append({
  kind: 'built',
  facts: {
    parameters: 10,
    stepFlops: 20,
    stateBytes: 30,
    tokensPerStep: 40,
    device: 'cpu',
    deviceDetail: 'fake',
    threads: Number(process.env.ARCHLAB_THREADS),
    precision: 'float32',
    kernelVersion: '0',
    fallbacks: [],
  },
});
append({ kind: 'state', status: 'running' });
beat();
if (mode === 'throws') {
  console.error('Error: the weights went sour');
  process.exit(1);
}
if (mode === 'crashes') process.kill(process.pid, 'SIGSEGV');

let beats = 0;
const counting = setInterval(() => {
  if (++beats % 20 === 0) beat();
  if (paused && single === 0) return;
  single = 0;
  step += 1;
  append({
    kind: 'metric',
    tokens: step * 40,
    seconds: step / 100,
    values: { 'loss/train': 5 / step, tokens_per_s: 4000 },
  });
  if (step % 10 === 0) checkpoint();
  if (step >= spec.budget.steps) end('finished', 'The last step is done.');
}, 5);
