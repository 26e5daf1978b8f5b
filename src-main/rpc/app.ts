// What this lab is and where it runs.
import { statfsSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import type { Implementation } from './contract';
import type { Lab } from './lab';
import { type Inputs, nothing } from './method';

export const inputs: Inputs<'app'> = { info: nothing };

export const app = ({ paths, host, version }: Lab): Implementation['app'] => ({
  info() {
    const disk = statfsSync(paths.folder);
    return {
      version,
      host,
      folder: paths.folder,
      node: process.versions.node,
      electron: process.versions.electron ?? null,
      platform: `${process.platform} ${process.arch}`,
      cores: availableParallelism(),
      memoryBytes: totalmem(),
      diskFreeBytes: disk.bavail * disk.bsize,
    };
  },
});
