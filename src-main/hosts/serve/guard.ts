// Who may talk to the served lab: pure decisions over a request's headers.
import { timingSafeEqual } from 'node:crypto';

const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]']);

/**
 * Whether the Host header names this machine itself. Any port will do, since a tunnel may bring its own; a name that
 * someone's DNS points here does not.
 */
export function isLoopback(host: string | undefined): boolean {
  if (!host) return false;
  const name = /^(\[[0-9a-f:]+\]|[^:]+)(?::\d{1,5})?$/i.exec(host)?.[1];
  return name !== undefined && LOOPBACK.has(name.toLowerCase());
}

/** Whether the page that asks came from this very host and port. */
export const isSameOrigin = (origin: string | undefined, host: string | undefined): boolean =>
  origin !== undefined && host !== undefined && origin.toLowerCase() === `http://${host.toLowerCase()}`;

/** Compares without telling by its time how much was right. */
export function sameToken(given: string | undefined | null, token: string): boolean {
  if (!given) return false;
  const a = Buffer.from(given);
  const b = Buffer.from(token);
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Cookies do not know ports: the name tells labs on different ports apart. */
export const cookieName = (port: number): string => `archlab_${port}`;

export function cookieOf(header: string | undefined, name: string): string | undefined {
  for (const part of header?.split(';') ?? []) {
    const at = part.indexOf('=');
    if (at > 0 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim();
  }
  return undefined;
}
