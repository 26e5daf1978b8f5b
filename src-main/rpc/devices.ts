// The devices of this machine, looked at from a process of their own: a graphics driver that crashes or hangs takes nothing down.
import { fork } from 'node:child_process';
import { z } from 'zod';
import { deathOf } from '../runs/standing';
import { failedTest } from '../spec/device';
import { DEVICES } from '../spec/run';
import type { DeviceInfo, DeviceTest, Implementation } from './contract';
import type { Lab } from './lab';
import { type Inputs, nothing } from './method';

export const inputs: Inputs<'devices'> = { list: nothing, test: z.strictObject({ id: z.enum(DEVICES) }) };

const TIMEOUT_MS = 60_000;
/** Devices come and go rarely, and each look starts a process. */
const REMEMBER_MS = 60_000;
const LINES = 20;

export function devices({ probe, now }: Lab, timeoutMs = TIMEOUT_MS): Implementation['devices'] {
  let known: { at: number; list: Promise<DeviceInfo[]> } | undefined;
  return {
    list() {
      if (!known || now() - known.at > REMEMBER_MS) {
        const list = ask<DeviceInfo[]>(probe(), ['list'], timeoutMs);
        known = { at: now(), list };
        list.catch(() => {
          known = undefined;
        });
      }
      return known.list;
    },
    async test({ id }): Promise<DeviceTest> {
      try {
        return await ask<DeviceTest>(probe(), ['test', id], timeoutMs);
      } catch (error) {
        return failedTest(id, (error as Error).message);
      }
    },
  };
}

/**
 * Asks the probe and waits for its one answer. `question` goes to it as a message, where arguments are too small for it.
 * @throws Error in words when it crashes, says what is wrong, or does not answer in time.
 */
export function ask<T>(script: string, args: string[], timeoutMs: number, question?: object): Promise<T> {
  return new Promise((resolve, reject) => {
    const env: NodeJS.ProcessEnv = { ...process.env };
    if (process.versions.electron) env.ELECTRON_RUN_AS_NODE = '1';
    const child = fork(script, args, {
      env,
      execPath: process.execPath,
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let said: string[] = [];
    let answered = false;
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(
        new Error(
          question
            ? `There was no answer within ${timeoutMs / 1000} s; try a smaller model.`
            : `The device did not answer within ${timeoutMs / 1000} s; its driver may hang.`,
        ),
      );
    }, timeoutMs);
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = [...said, ...text.split('\n')].filter(Boolean).slice(-LINES);
    });
    child.on('message', (message: { value?: T; error?: string }) => {
      answered = true;
      if (message.error !== undefined) reject(new Error(message.error));
      else resolve(message.value as T);
      child.kill();
    });
    child.on('error', reject);
    if (question) child.send(question, () => {}); // What goes wrong here ends the process, which is told below.
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      if (!answered)
        reject(
          new Error(deathOf(code, signal, said.join('\n')).why.replace('The worker', 'The process that tests devices')),
        );
    });
  });
}
