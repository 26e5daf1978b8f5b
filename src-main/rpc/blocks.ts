// The blocks of this build, for the palette.
import { cards } from '../blocks';
import type { Implementation } from './contract';
import { type Inputs, nothing } from './method';

export const inputs: Inputs<'blocks'> = { list: nothing };

export const blocks = (): Implementation['blocks'] => ({ list: cards });
