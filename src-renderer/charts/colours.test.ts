// The palette: seen on both backgrounds, told apart under colour blindness, stable while runs come and go.
import { expect, it } from 'vitest';
import { assignSlots, COLOURS, colourOf, markOf, type Theme } from './colours';
import { backgroundOf } from './line/option';

type Rgb = [number, number, number];
const linear = (hex: string) =>
  [1, 3, 5].map((i) => {
    const c = Number.parseInt(hex.slice(i, i + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
const luminance = ([r, g, b]: Rgb) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
const contrast = (a: string, b: string) => {
  const [x, y] = [luminance(linear(a)), luminance(linear(b))].sort((p, q) => q - p) as [number, number];
  return (x + 0.05) / (y + 0.05);
};
// Machado, Oliveira and Fernandes 2009, severity 1.
const BLIND: Record<string, Rgb[]> = {
  none: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
};
function lab(hex: string, blindness: Rgb[]): Rgb {
  const c = linear(hex);
  const [r, g, b] = blindness.map((row) =>
    Math.min(1, Math.max(0, row[0] * c[0] + row[1] * c[1] + row[2] * c[2])),
  ) as Rgb;
  const f = (t: number) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
  const [x, y, z] = [
    f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505),
    f(0.2126 * r + 0.7152 * g + 0.0722 * b),
    f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089),
  ];
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}
const slots = Array.from({ length: COLOURS }, (_, i) => markOf(i));

for (const theme of ['light', 'dark'] as Theme[]) {
  const colours = slots.map((mark) => colourOf(mark, theme));
  it(`${theme}: graphics stand out by 3:1 as WCAG 1.4.11 asks`, () => {
    for (const colour of colours) expect(contrast(colour, backgroundOf(theme))).toBeGreaterThanOrEqual(3);
  });
  for (const [name, matrix] of Object.entries(BLIND))
    it(`${theme}: lines are told apart with ${name}`, () => {
      for (let i = 0; i < COLOURS; i++)
        for (let j = 0; j < i; j++) {
          const [a, b] = [lab(colours[i]!, matrix), lab(colours[j]!, matrix)];
          const apart = Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
          // About 2 is just noticeable; thin lines want far more, most of all where the dash is the same.
          expect(apart, `${i} and ${j}`).toBeGreaterThan(slots[i]!.dash === slots[j]!.dash ? 30 : 15);
        }
    });
}

it('gives 48 runs 48 looks', () => {
  const looks = Array.from({ length: 48 }, (_, i) => `${markOf(i).colour} ${markOf(i).dash}`);
  expect(new Set(looks).size).toBe(48);
});

it('keeps the slot of a run while others come and go', () => {
  const first = assignSlots(['a', 'b', 'c'], new Map());
  const second = assignSlots(['c', 'd'], first);
  expect(second.get('c')).toBe(2);
  expect(second.get('d')).toBe(0);
});
