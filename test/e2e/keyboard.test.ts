// A model built, changed and sent to training without a pointer, as far as every key goes.
import { expect, it } from 'vitest';
import { openLab } from './opened';

const here = openLab();

const press = async (...keys: string[]) => {
  for (const key of keys) await here.window.page.keyboard.press(key);
};
const focused = () => here.window.page.evaluate(() => document.activeElement?.getAttribute('data-testid') ?? '');

/** Tabs on until the focus is on the element. */
async function tabTo(testid: string): Promise<void> {
  for (let i = 0; i < 80; i++) {
    if ((await focused()) === testid) return;
    await press('Tab');
  }
  throw new Error(`Tab never came to ${testid}`);
}

/** Opens the list of blocks where the focus is, and takes the first that answers to `words`. */
async function insert(words: string): Promise<void> {
  await press('Enter');
  await expect.poll(focused).toBe('quick-insert-search');
  await here.window.page.keyboard.type(words);
  await press('Enter');
  await expect.poll(focused).toMatch(/^node-/);
}

it('builds a stack: inserts, duplicates, moves, groups, deletes, undoes', async () => {
  await tabTo('canvas');
  await insert('softmax attention');
  await insert('gated mlp');
  await expect.poll(() => here.window.titles()).toEqual(['Softmax attention', 'Gated MLP']);

  await press('Control+d');
  await expect.poll(() => here.window.titles()).toEqual(['Softmax attention', 'Gated MLP', 'Gated MLP']);
  await press('Delete');
  await expect.poll(() => here.window.titles()).toEqual(['Softmax attention', 'Gated MLP']);
  await press('Control+z', 'Control+z');
  await expect.poll(() => here.window.titles()).toEqual(['Softmax attention', 'Gated MLP']);
  await press('Alt+ArrowUp');
  await expect.poll(() => here.window.titles()).toEqual(['Gated MLP', 'Softmax attention']);
  await press('Control+z');
  await expect.poll(() => here.window.titles()).toEqual(['Softmax attention', 'Gated MLP']);
});

it('repeats a group, and tells a screen reader what it did', async () => {
  await press('ArrowUp', 'ArrowUp', 'Shift+ArrowDown', 'Control+g');
  await expect.poll(() => here.window.at('repeat-0').count()).toBe(1);
  expect(await here.window.at('announcement').textContent()).toMatch(/\S/);
});

it('opens training with every model chosen, whose key does not press what has the focus there', async () => {
  await press('Control+Enter');
  await here.window.at('train-dialog').waitFor();
  await expect.poll(focused).not.toMatch(/^node-/);
  await here.window.page.waitForTimeout(100);
  expect(await here.window.at('train-start').isEnabled()).toBe(true);
  await press('Escape');
  await here.window.at('train-dialog').waitFor({ state: 'hidden' });
});

it('goes from page to page by letters', async () => {
  await press('g', 'r');
  await here.window.at('runs-page').waitFor();
  await press('g', 'c');
  await here.window.at('compare-page').waitFor();
  await press('F1');
  await here.window.at('help-dialog').waitFor();
  await press('Escape');
  expect(here.window.errors).toEqual([]);
});
