// The window over the fake main: open it with `vite --config test/window/vite.config.ts`.
import { start } from '../../src-renderer/start';
import { fakeTransport } from './fake';

const transport = fakeTransport();
Object.assign(window, { fake: transport });
start(transport, '#app');
