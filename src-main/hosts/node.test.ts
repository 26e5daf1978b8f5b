// The entries of the hosts under a Node that is too old: one sentence, and nothing loaded that could end the process before it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { devDependencies } from '../../package.json';
import { NEEDED, tooOld } from './node';

it('asks for the Node that the packages bring along', () => {
  expect(devDependencies.node).toMatch(new RegExp(`^\\^${NEEDED}\\.`));
});

it('says in a sentence what is needed and what came', () => {
  for (const version of ['20.20.2', '22.1.0', '9.0.0'])
    expect(tooOld(version)).toMatch(
      new RegExp(`^Archlab needs Node ${NEEDED} or later, and this is ${version}\\..*npm start`),
    );
  for (const version of [`${NEEDED}.0.0`, '26.3.1']) expect(tooOld(version)).toBeUndefined();
  expect(tooOld()).toBeUndefined();
});

it.each(['cli', 'serve'])('the entry of %s imports nothing else before it has looked', (host) => {
  const source = readFileSync(join(import.meta.dirname, host, 'index.ts'), 'utf8');
  expect([...source.matchAll(/^import .*? from '(.*)';$/gm)].map(([, from]) => from)).toEqual(['../node']);
});
