// The options of the contextual memory.
import type { ValuesOf } from '../../spec/options';
import { memoryOptions } from '../parts/memory_options';

export const options = memoryOptions;
export type MosaicOptions = ValuesOf<typeof options>;
