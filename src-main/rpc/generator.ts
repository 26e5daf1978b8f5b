// The process that writes a text: one request by message, its pieces back by message. It is killed to stop it.
import { SpecError } from '../spec/error';
import { type Continuation, continueRun } from './continue';

process.on('disconnect', () => process.exit(0));
// Ctrl-C in a terminal reaches the whole group; whoever started this decides.
process.on('SIGINT', () => {});

process.once('message', async (request: Continuation) => {
  try {
    await continueRun(request, (piece) => void process.send?.(piece));
  } catch (error) {
    if (!(error instanceof SpecError)) console.error(error);
    process.send?.({ error: error instanceof Error ? error.message : String(error) });
  }
});
