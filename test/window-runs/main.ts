// The window over a lab full of runs; `?scene=empty` or `?scene=heavy` for others, `?page=compare` for where to begin.
import type { Message } from '../../src-main/rpc/contract';
import { start } from '../../src-renderer/start';
import { fakeMain, fakeTransport } from '../window/fake';
import { fakeLab, type Scene } from './lab';

let tell: (message: Message) => void = () => undefined;
const scene = (new URLSearchParams(location.search).get('scene') ?? 'full') as Scene;
const lab = fakeLab(scene, (notice) => tell({ notice }));
const { main, drafts } = fakeMain();
const transport = fakeTransport({ main: { ...main, runs: lab.runs, metrics: lab.metrics }, drafts });
Object.assign(window, { lab });
start(
  {
    ...transport,
    open(listeners) {
      tell = listeners.message;
      transport.open(listeners);
    },
  },
  '#app',
);
