// Reads the configuration of a golden case.

/** Typed look-ups in a `config`; a missing field without a fallback, or one of the wrong type, is an error that names it. */
export function config(given: Record<string, unknown>) {
  function look<T>(name: string, fits: (value: unknown) => value is T, wants: string, fallback?: T): T {
    const value = given[name];
    if (fits(value)) return value;
    if ((value === undefined || value === null) && fallback !== undefined) return fallback;
    throw new Error(`config.${name}: wants ${wants}, not ${JSON.stringify(value) ?? 'nothing'}`);
  }
  const isNumber = (v: unknown): v is number => typeof v === 'number';
  const isFlag = (v: unknown): v is boolean => typeof v === 'boolean';
  return {
    number: (name: string, fallback?: number) => look(name, isNumber, 'a number', fallback),
    flag: (name: string, fallback?: boolean) => look(name, isFlag, 'true or false', fallback),
    /** One of the names that `choices` lists. */
    choice: <const C extends string>(name: string, choices: readonly C[], fallback?: C) =>
      look(name, (v): v is C => choices.includes(v as C), `one of ${choices.join(', ')}`, fallback),
    /** [low, high], or null where it is absent. */
    interval(name: string): readonly [number, number] | null {
      const value = given[name];
      if (value === undefined || value === null) return null;
      if (Array.isArray(value) && value.length === 2)
        return [Number(value[0] ?? 0), Number(value[1] ?? Number.POSITIVE_INFINITY)];
      throw new Error(`config.${name}: wants null or [low, high], not ${JSON.stringify(value)}`);
    },
  };
}
