// Colours and dashes that tell lines apart: twelve colours a theme, kept apart under red- and green-blindness too.

export type Theme = 'light' | 'dark';
const DASHES = ['solid', 'dashed', 'dotted', 'dashdot'] as const;
export type Dash = (typeof DASHES)[number];

/** What a line looks like, whatever the theme: a place in the palette and a dash. */
export interface Mark {
  colour: number;
  dash: Dash;
}

// Found by a search that kept every pair at least 15 apart in CIELAB under simulated protanopia and deuteranopia, and
// pairs that share a dash at least 30; each stands out from its background by 3:1 or more.
const PALETTE: Record<Theme, readonly string[]> = {
  light: [
    '#1f6fd0',
    '#d4560b',
    '#186241',
    '#402163',
    '#119ac7',
    '#661106',
    '#889457',
    '#8a2363',
    '#2d16c5',
    '#9e897f',
    '#2e313b',
    '#409b28',
  ],
  dark: [
    '#58a2f2',
    '#ff9447',
    '#91f6aa',
    '#89588e',
    '#5cc2e8',
    '#f53317',
    '#f8e86e',
    '#d35481',
    '#6846fa',
    '#986d43',
    '#c2c2c2',
    '#c0f92a',
  ],
};
export const COLOURS = PALETTE.light.length;

/** The mark of a slot: the first twelve differ in colour, every four in dash, and no two of the first 48 are alike. */
export const markOf = (slot: number): Mark => ({
  colour: slot % COLOURS,
  dash: DASHES[Math.floor(slot / 4) % DASHES.length]!,
});

export const colourOf = (mark: Mark, theme: Theme): string => PALETTE[theme][mark.colour]!;

/** Dash lengths in pixels, for canvas and SVG alike; a solid line has none. */
export const DASH_LENGTHS: Record<Dash, number[]> = {
  solid: [],
  dashed: [7, 4],
  dotted: [2, 3],
  dashdot: [8, 3, 2, 3],
};

/** Gives every id a slot and keeps those it had: a line never changes its look while others come and go. */
export function assignSlots(ids: readonly string[], before: ReadonlyMap<string, number>): Map<string, number> {
  const kept = new Map(ids.flatMap((id) => (before.has(id) ? [[id, before.get(id)!] as const] : [])));
  const taken = new Set(kept.values());
  const slots = new Map<string, number>();
  let free = 0;
  for (const id of ids) {
    let slot = kept.get(id);
    if (slot === undefined) {
      while (taken.has(free)) free++;
      slot = free;
      taken.add(slot);
    }
    slots.set(id, slot);
  }
  return slots;
}
