// Whether this Node can run the lab. Asked before anything else is loaded: an older one can't read the code, and the native modules end it without a word.

/** Node's major version, that of the `node` package which package.json brings along. */
export const NEEDED = 24;

/** A sentence where the Node is too old; undefined where it serves. */
export function tooOld(version = process.versions.node): string | undefined {
  if (Number.parseInt(version, 10) >= NEEDED) return undefined;
  return `Archlab needs Node ${NEEDED} or later, and this is ${version}. npm start and npm run archlab bring their own; start it through them.`;
}
