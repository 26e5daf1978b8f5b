// The text of all shaders, found by their folders, and the version that it makes.
import { createHash } from 'node:crypto';

const shaders = import.meta.glob<string>('../../../kernels/*/*.wgsl', {
  eager: true,
  query: '?raw',
  import: 'default',
});
const plans = import.meta.glob<string>('../../../kernels/*/gpu.ts', { eager: true, query: '?raw', import: 'default' });

/** The shader module of a folder, named as `../../../kernels/<kernel>/`: what all share, then the folder's files in order of name. */
export function moduleOf(folder: string): string {
  const own = Object.keys(shaders).filter((file) => file.startsWith(folder));
  if (own.length === 0) throw new Error(`internal: ${folder}gpu.ts has no shader beside it`);
  return ['../../../kernels/core/core.wgsl', ...own.sort()].map((file) => shaders[file]).join('\n');
}

/** A hash over texts by their paths: any change of either makes another one. */
export function versionOf(texts: Readonly<Record<string, string>>): string {
  const hash = createHash('sha256');
  for (const [file, text] of Object.entries(texts).sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(JSON.stringify([file, text]));
  return hash.digest('hex').slice(0, 16);
}

/** Of the shaders and of the plans by which they run. */
export const shaderVersion = versionOf({ ...shaders, ...plans });
