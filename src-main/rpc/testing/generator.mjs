// A writer of texts for tests: does what the prompt says.
process.on('disconnect', () => process.exit(0));
process.once('message', ({ kind, request: { prompt, length } }) => {
  const piece = (tokens, done = false) => ({ text: 'ab', tokens, tokensPerSecond: 10, stateBytes: 64, done });
  if (kind === 'fill') {
    const part = { kind: 'filled', text: prompt };
    process.send({ text: '', parts: [part], tokens: 1, tokensPerSecond: 10, stateBytes: null, done: true });
  } else if (prompt === 'write') for (let i = 1; i <= length; i++) process.send(piece(i, i === length));
  else if (prompt === 'refuse') process.send({ error: 'There is no such character.' });
  else if (prompt === 'crash') {
    console.error('out of luck');
    process.exit(7);
  } else {
    process.send(piece(1));
    setInterval(() => {}, 1000); // goes on for ever
  }
});
