// The browser side of npm run dev: Vite serves the window with hot reload and passes its RPC to the served lab,
// which is built again and restarted whenever its sources change. Runs under Node 24, on installed packages.
import { spawn } from 'node:child_process';
import { createServer as createSocket } from 'node:net';
import { createInterface } from 'node:readline';
import { resolveConfig } from 'electron-vite';
import { build, createServer, mergeConfig } from 'vite';
import { at, env, node, root, say, typedIn } from './ensure.mjs';

const args = process.argv.slice(2);
const port = await freePort();
const lab = `http://127.0.0.1:${port}`;
const first = Promise.withResolvers();
let token = '';
let child;

/** Starts the lab, after the one that ran before has ended in good order. */
async function restart() {
  const before = child;
  child = undefined;
  if (before && before.exitCode === null) {
    before.kill('SIGTERM');
    await new Promise((done) => before.on('exit', done));
  }
  child = spawn(node, ['--enable-source-maps', at('out', 'main', 'serve.js'), '--no-open', '--port', port, ...args], {
    cwd: typedIn,
    env: env(),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const found = /[?&]token=([\w-]+)/.exec(line)?.[1];
    if (found) {
      token = found;
      first.resolve();
    } else say(line);
  });
}

const { config } = await resolveConfig({ root }, 'serve', 'development');
// Restarts come one after the other, however fast the builds.
let queue = Promise.resolve();
await build(
  mergeConfig(config.main, {
    configFile: false,
    logLevel: 'warn',
    build: { watch: {} },
    plugins: [
      {
        name: 'restart-lab',
        closeBundle() {
          queue = queue.then(restart);
        },
      },
    ],
  }),
);
await first.promise;
const server = await createServer(
  mergeConfig(config.renderer, {
    configFile: false,
    server: {
      host: '127.0.0.1',
      proxy: {
        // The lab answers its own origin only, and wants the token of this start.
        '/rpc': {
          target: lab,
          ws: true,
          headers: { host: `127.0.0.1:${port}`, origin: lab },
          rewrite: () => `/rpc?token=${token}`,
        },
      },
    },
  }),
);
await server.listen();
say(`The lab with hot reload is at ${server.resolvedUrls.local[0]}`);

for (const signal of ['SIGINT', 'SIGTERM'])
  process.on(signal, async () => {
    // Ctrl-C reaches the lab by itself as one of the terminal's processes; a second signal would cut its checkpoints short.
    if (signal === 'SIGTERM') child?.kill('SIGTERM');
    await server.close();
    if (child && child.exitCode === null) await new Promise((done) => child.on('exit', done));
    process.exit(0);
  });

function freePort() {
  return new Promise((done, failed) => {
    const socket = createSocket().on('error', failed);
    socket.listen(0, '127.0.0.1', () => {
      const { port } = socket.address();
      socket.close(() => done(String(port)));
    });
  });
}
