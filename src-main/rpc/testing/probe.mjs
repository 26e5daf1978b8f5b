// A device probe for tests: answers, says what is wrong, crashes or hangs, by the device it is asked for.
const [what, id] = process.argv.slice(2);
if (what === 'list') process.send({ value: [{ id: 'cpu', title: 'CPU', available: true, detail: 'fake' }] });
else if (id === 'cpu') process.send({ value: { id, ok: true, gflops: 1, worstError: 0, message: 'fine' } });
else if (id === 'reference') process.send({ error: 'The driver is too old.' });
else if (id === 'webgpu') {
  console.error('vkCreateDevice failed');
  process.kill(process.pid, 'SIGSEGV');
} else setInterval(() => {}, 1000);
