// What the window tells of blocks besides training them side by side: masked models, agreement with the published code, causality.
import { expect, it } from 'vitest';
import { openLab } from './opened';

const here = openLab();

/** Chooses an entry of a select by its text. */
async function select(testid: string, label: string): Promise<void> {
  const { at, page } = here.window;
  await at(testid).click();
  await page.locator('.n-base-select-option', { hasText: label }).click();
}

it('knows that Hydra fills in masked tokens, and shows what it will read', async () => {
  const { at } = here.window;
  await at('presets').click();
  await at('preset-hydra').click();
  await expect.poll(() => here.window.titles()).toEqual(['Repeat', 'Hydra']);
  await expect.poll(() => at('objective-note').textContent()).toContain('Hydra looks at later tokens');
  expect(await at('problems').count()).toBe(0);
  await expect.poll(() => at('task-sample').locator('mark').count()).toBeGreaterThan(10);
  await here.window.picture('build-masked');

  await select('objective', 'next token');
  await expect.poll(() => at('problems').textContent()).toContain('1 problem');
  await at('problems').click();
  await expect
    .poll(() => here.window.page.locator('.choices .bad').allTextContents())
    .toEqual([expect.stringMatching(/^hydra looks at later tokens here, .* fill in masked tokens$/)]);
  await here.window.page.keyboard.press('Escape');
  await select('objective', 'as the blocks allow');
  await expect.poll(() => at('problems').count()).toBe(0);
});

it('trains the Hydra preset as it comes, and fills in gaps: its samples, and a text of the user’s', async () => {
  const { at, page } = here.window;
  await at('train').click();
  await at('train-dialog').waitFor();
  for (const [field, value] of Object.entries({ steps: 100, batch: 4, every: 50 }))
    await here.window.set(`train-${field}`, value);
  await expect.poll(() => at('train-objective-0').textContent()).toBe('masked tokens');
  await here.window.picture('train-masked');
  await at('train-start').click();
  await at('compare-page').waitFor();
  await here.window.go('runs');
  await expect.poll(() => at('run-row').first().getAttribute('data-status'), { timeout: 120_000 }).toBe('finished');
  await at('run-row').first().click();
  await at('run-panel').waitFor();
  await page.getByRole('tab', { name: 'Samples' }).click();
  await expect.poll(() => at('run-filled').locator('mark').count()).toBeGreaterThan(10);
  await here.window.picture('samples-masked');
  await page.getByRole('tab', { name: 'Generate' }).click();
  await at('generate-prompt').fill('The wh___ was ____ in the s__.');
  await page.keyboard.press('Control+Enter');
  const written = at('written-text');
  await expect.poll(() => written.getAttribute('data-status'), { timeout: 60_000 }).toBe('done');
  expect(await written.textContent()).toMatch(/^The wh.+ was .+ in the s.+\.$/s);
  expect(await written.textContent()).not.toContain('_');
  expect(await at('written-gap').count()).toBe(3);
  expect(await at('written-tokens').textContent()).toBe('9 of 9 tokens filled in');
  await here.window.picture('fill');
});

it('says which block lets later tokens through, and that a causal model lets none', async () => {
  const { at } = here.window;
  await here.window.go('build');
  await at('causality').click();
  await expect
    .poll(() => at('causality-note').textContent(), { timeout: 60_000 })
    .toMatch(
      /Hydra lets later tokens through: changing token \d+ of 128 moves its output .* It learns to fill in masked tokens/s,
    );
  await here.window.picture('causality');
  await at('causality-show').click();
  await expect.poll(() => at('block-card').first().textContent()).toContain('two-sided Mamba-2');
  await at('causality-dismiss').click();
  await at('presets').click();
  await at('preset-llama').click();
  await at('causality').click();
  await expect.poll(() => at('causality-note').textContent(), { timeout: 60_000 }).toContain('No earlier output moves');
  await at('causality-dismiss').click();
});

it('compares a block with its published code on this device, from its card', async () => {
  const { at, page } = here.window;
  await here.window.go('build');
  expect(await at('badge-hydra').count()).toBe(0);
  await at('about-hydra').click();
  const card = page.locator('.n-popover:visible');
  await expect.poll(() => card.getByTestId('agreement').textContent()).toContain('Not yet compared');
  await card.getByTestId('agreement-test').click();
  await expect
    .poll(() => card.getByTestId('agreement-result').textContent(), { timeout: 60_000 })
    .toMatch(/Agrees with the published code\..*Worst error \d\.\de-\d+ .* of \d+ tensors, on CPU .* kernels \w+/s);
  await here.window.picture('card-agreement');
  await page.keyboard.press('Escape');
  await page.mouse.click(640, 600);
  await expect.poll(() => at('badge-hydra').getAttribute('data-standing')).toBe('agrees');
  expect(await at('badge-mamba2').count()).toBe(0);
});

it('compares all blocks from the Device page, and keeps the results over a reload', async () => {
  const { at, page } = here.window;
  await here.window.go('device');
  await at('blocks-test-all').click();
  await expect.poll(() => at('blocks-result').textContent(), { timeout: 120_000 }).toMatch(/^(\d+) of \1 blocks agree/);
  await here.window.picture('device-agreement');
  await page.reload();
  await expect.poll(() => at('blocks-result').textContent()).toMatch(/blocks agree/);
  await here.window.go('build');
  await expect.poll(() => at('badge-mamba2').getAttribute('data-standing')).toBe('agrees');
});

it('has no errors in its page', () => {
  expect(here.window.errors).toEqual([]);
});
