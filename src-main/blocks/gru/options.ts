// The options of the GRU.
import type { ValuesOf } from '../../spec/options';
import { recurrentOptions } from '../parts/recurrent';

export const options = recurrentOptions;
export type GruOptions = ValuesOf<typeof options>;
