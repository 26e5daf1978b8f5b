// A device probe for tests: answers, says what is wrong, crashes or hangs, by the device it is asked for.
const [what, id, , ...blocks] = process.argv.slice(2);
const agreement = (block) => ({
  block,
  device: id,
  deviceDetail: 'fake',
  kernelVersion: 'k1',
  at: 5,
  ok: true,
  cases: 1,
  tensors: 2,
  worst: { error: 1e-7, tolerance: 1e-5, tensor: 'output/y', case: 'one' },
  failures: [],
});
if (what === 'list')
  process.send({ value: [{ id: 'cpu', title: 'CPU', available: true, detail: 'fake', kernelVersion: 'k1' }] });
else if (id === 'reference') process.send({ error: 'The driver is too old.' });
else if (id === 'webgpu') {
  console.error('vkCreateDevice failed');
  process.kill(process.pid, 'SIGSEGV');
} else if (id === 'tensorflow') setInterval(() => {}, 1000);
else if (what === 'agree') {
  for (const block of blocks) {
    process.send({ progress: { block, case: 'one', done: 0, total: 1 } });
    process.send({ agreement: agreement(block) });
  }
  process.send({ value: 'done' });
} else process.send({ value: { id, ok: true, gflops: 1, worstError: 0, message: 'fine' } });
