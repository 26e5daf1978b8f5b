// Opens the served lab in the user's browser, where there is one.
import { spawn } from 'node:child_process';

/** The command that opens an address on this platform; undefined where nobody would see it. */
export function opener(env: NodeJS.ProcessEnv, platform: NodeJS.Platform): string[] | undefined {
  if (env.CI || env.SSH_CONNECTION) return undefined;
  if (platform === 'darwin') return ['open'];
  if (platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler'];
  return env.DISPLAY || env.WAYLAND_DISPLAY ? ['xdg-open'] : undefined;
}

/** Opens `address`; a browser that can't be started is no trouble, since the address is printed. */
export function openBrowser(address: string, env = process.env, platform = process.platform): void {
  const command = opener(env, platform);
  if (!command) return;
  const [program, ...args] = command;
  const child = spawn(program, [...args, address], { stdio: 'ignore', detached: true });
  child.on('error', () => {});
  child.unref();
}
