// The text of all shaders, found by their folders, and the version that it makes.
import { createHash } from 'node:crypto';
import type { Grants } from '../../../kernels/core/plan';

const shaders = import.meta.glob<string>('../../../kernels/*/*.wgsl', {
  eager: true,
  query: '?raw',
  import: 'default',
});
const plans = import.meta.glob<string>('../../../kernels/*/gpu.ts', { eager: true, query: '?raw', import: 'default' });

const CORE = '../../../kernels/core/';

/**
 * The shader module of a folder, named as `../../../kernels/<kernel>/`, for a device of such grants: what all share, then the folder's files in order
 * of name.
 */
export function moduleOf(folder: string, { half, subgroups }: Grants): string {
  const own = Object.keys(shaders).filter((file) => file.startsWith(folder));
  if (own.length === 0) throw new Error(`internal: ${folder}gpu.ts has no shader beside it`);
  const enabled = [half === 'f16' ? 'enable f16;' : '', subgroups ? 'enable subgroups;' : ''];
  const shared = ['core', subgroups ? 'sums_subgroups' : 'sums', half === 'f16' ? 'halves_f16' : 'halves'];
  const files = [...shared.map((name) => `${CORE}${name}.wgsl`), ...own.sort()];
  return [...enabled, ...files.map((file) => shaders[file])].join('\n');
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
