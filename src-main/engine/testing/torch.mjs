#!/usr/bin/env node
// Stands in for a Python with torch: answers as test/bench/torch/server.py does, without computing. FAKE_TORCH says what is to be wrong.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const fake = JSON.parse(process.env.FAKE_TORCH ?? '{}');
if (fake.absent) {
  process.stderr.write("Traceback (most recent call last):\nModuleNotFoundError: No module named 'torch'\n");
  process.exit(1);
}
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

/** Numbers in all tensors of a safetensors file. */
function count(path) {
  const bytes = readFileSync(path);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())));
  return Object.values(header).reduce((sum, { shape }) => sum + shape.reduce((n, d) => n * d, 1), 0);
}

say({ torch: '0.0-fake' });
createInterface({ input: process.stdin }).on('line', (line) => {
  const asked = JSON.parse(line);
  if (asked.op === 'step') {
    const ms = asked.form === 'autograd' ? 8000 : 5000;
    return say(fake.fails ? { error: 'ValueError: no' } : { ms, cpuMs: ms, value: 0 });
  }
  if (asked.op === 'burst') return say({ ms: Array(asked.tokens - asked.leftOut).fill(5000), cpuMs: 5000 });
  const parameters = count(asked.weights) + (fake.more ?? 0);
  if (asked.op === 'decode') return say({ parameters, forms: { slow: 2, quick: 1 } });
  say({ parameters, loss: fake.loss ?? 0, forms: fake.forms ?? { slow: 2, quick: 1 } });
});
