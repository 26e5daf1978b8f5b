// Entry of the command line: the rest is loaded once the Node is known to run it.
import { tooOld } from '../node';

const why = tooOld();
if (why) {
  process.stderr.write(`${why}\n`);
  process.exitCode = 1;
} else await import('./main');
