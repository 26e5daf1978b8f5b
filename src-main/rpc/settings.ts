// Settings of the lab: plain data by key.
import { z } from 'zod';
import { AT_ONCE } from '../runs/supervisor';
import { SpecError } from '../spec/error';
import { show } from '../spec/options';
import { setSetting, settings as stored } from '../store/setting';
import type { Implementation } from './contract';
import type { Lab } from './lab';
import { type Inputs, nothing } from './method';

const MAX_BYTES = 256 * 1024;

export const inputs: Inputs<'settings'> = {
  get: nothing,
  set: z.strictObject({ key: z.string().min(1).max(100), value: z.json().optional() }) as Inputs<'settings'>['set'],
};

export const settings = ({ store, supervisor }: Lab): Implementation['settings'] => ({
  get: () => stored(store),
  set({ key, value }) {
    const bytes = JSON.stringify(value ?? null).length;
    if (bytes > MAX_BYTES) throw new SpecError(`${bytes} bytes are more than a setting holds (${MAX_BYTES})`, key);
    if (key === AT_ONCE && value !== null && !(Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 64))
      throw new SpecError(`${show(value)} does not fit: it wants a whole number from 1 to 64`, key);
    setSetting(store, key, value);
    if (key === AT_ONCE) supervisor.refresh();
  },
});
