// The process that writes a text: one request by message, its pieces back by message. It is killed to stop it.
import { SpecError } from '../spec/error';
import { continueRun, type Piece } from './continue';
import { fillRun } from './fill';
import type { Work } from './generation';

process.on('disconnect', () => process.exit(0));
// Ctrl-C in a terminal reaches the whole group; whoever started this decides.
process.on('SIGINT', () => {});

process.once('message', async ({ kind, request }: Work) => {
  const hear = (piece: Piece) => void process.send?.(piece);
  try {
    await (kind === 'fill' ? fillRun(request, hear) : continueRun(request, hear));
  } catch (error) {
    if (!(error instanceof SpecError)) console.error(error);
    process.send?.({ error: error instanceof Error ? error.message : String(error) });
  }
});
