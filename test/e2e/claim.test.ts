// Checking a claim as a reader of papers would: two architectures of one size, on recall, with seeds; reading the result; going on from it.
import { expect, it } from 'vitest';
import { openLab } from './opened';

const here = openLab();

const SEEDS = 2;
/** Parameters of the chosen models, as the dialog writes them. */
const sizes = () =>
  here.window
    .at('train-dialog')
    .locator('tbody tr td:nth-child(2)')
    .allTextContents()
    .then((texts) => texts.map((text) => Number.parseFloat(text)));

it('tells that two presets differ in size, and makes them equal', async () => {
  const { at, page } = here.window;
  await at('presets').click();
  await at('preset-llama').click();
  await at('new-tab').click();
  await at('presets').click();
  await at('preset-mamba2').click();
  await expect.poll(() => here.window.titles()).toEqual(['Repeat', 'Mamba-2']);
  await at('train').click();
  await at('train-dialog').waitFor();
  await expect.poll(() => at('train-uneven').textContent()).toMatch(/Parameters differ by \d+(\.\d)?%/);
  await at('train-match').click();
  await expect.poll(() => at('train-matched').allTextContents()).toEqual([expect.stringMatching(/^Llama: hidden/)]);
  await expect.poll(() => at('train-uneven').count()).toBe(0);
  const [llama, mamba] = await sizes();
  expect(Math.abs(llama! / mamba! - 1)).toBeLessThan(0.02);

  // Undo in Build takes it back: the models differ again.
  await page.keyboard.press('Escape');
  await at('tab-0').click();
  await at('undo').click();
  await at('train').click();
  await expect.poll(() => at('train-uneven').count()).toBe(1);
  await at('train-match').click();
  await expect.poll(() => at('train-uneven').count()).toBe(0);
});

it('trains both on recall over two seeds, to an accuracy, by settings of the optimiser that are drawn', async () => {
  const { at, page } = here.window;
  await at('train-dialog').locator('.n-select').first().click();
  await page.locator('.n-base-select-option', { hasText: 'MQAR' }).click();
  for (const [field, value] of Object.entries({ steps: 30, seeds: SEEDS, every: 10 }))
    await here.window.set(`train-${field}`, value);
  await expect.poll(() => at('train-schedule-line').textContent()).toMatch(/0\.002 at its peak, .* in step 30/);
  await at('train-more').locator('summary').click();
  await here.window.set('train-untilAccuracy', 0.0001);
  await expect.poll(() => at('train-uneven').count()).toBe(0);
  await here.window.picture('train-matched');
  await at('train-start').click();
  await at('compare-page').waitFor();
  await expect.poll(() => at('summary-row').count()).toBe(2); // seeds are joined without being asked to
  await expect
    .poll(async () => (await at('summary-final').allTextContents()).every((text) => text.includes('±')), {
      timeout: 120_000,
    })
    .toBe(true);
});

it('says how sure the result is, at equal computation too, and remembers which runs were chosen', async () => {
  const { at, page } = here.window;
  await expect
    .poll(() => at('summary-p').allTextContents(), { timeout: 60_000 })
    .toContainEqual(expect.stringMatching(/\d/));
  expect(await at('summary-uneven').count()).toBe(0);
  // Slices are headed in words, and stand below the summary.
  await expect.poll(() => at('charts-slices').textContent()).toContain('Accuracy (validation): kv = 4');
  const top = async (testid: string) => (await at(testid).boundingBox())!.y;
  expect(await top('charts-slices')).toBeGreaterThan(await top('summary'));
  await at('x-axis-flops').click();
  expect((await page.getByRole('toolbar').first().boundingBox())!.height).toBeLessThan(50); // one row at 1280 pixels
  await expect.poll(() => at('chart-loss').locator('canvas').count()).toBeGreaterThan(0);
  await here.window.picture('compare-seeds');
  await at('x-axis-step').click();

  await at('chooser-item').first().click();
  const chosen = () => page.locator('[data-testid="chooser-item"] input:checked').count();
  await expect.poll(chosen).toBe(2 * SEEDS - 1);
  await here.window.go('runs');
  await here.window.go('compare');
  await expect.poll(chosen).toBe(2 * SEEDS - 1);
  await at('choose-latest').click();
  await expect.poll(chosen).toBe(2 * SEEDS);
});

it('goes on from a run: why it ended, what it does not write, and its model back in Build with its settings', async () => {
  const { at, page } = here.window;
  await here.window.go('runs');
  const row = at('run-row').first();
  await expect.poll(() => row.getAttribute('data-status'), { timeout: 60_000 }).toBe('finished');
  await row.click();
  await expect.poll(() => at('run-why').textContent()).toMatch(/reached 0\.0001: it is|All 30 steps/);
  await page.getByRole('tab', { name: 'Samples' }).click();
  await expect.poll(() => at('run-panel').textContent()).toContain('it writes no samples');
  await page.getByRole('tab', { name: 'Log' }).click();
  // The story of the run from its first line; the numbers of every step on request.
  await expect.poll(() => at('run-log').textContent()).toMatch(/started.*finished/s);
  expect(await at('run-log').textContent()).not.toContain('grad_norm');
  await at('log-readings').click();
  await expect.poll(() => at('run-log').textContent()).toContain('grad_norm');
  await at('log-readings').click();
  await at('panel-bench').click();
  await at('page-build').waitFor();
  await expect.poll(() => at('tab-2').count()).toBe(1);
  await at('train').click();
  await expect.poll(() => at('train-steps').locator('input').inputValue()).toBe('30');
  await expect.poll(() => at('train-twin').textContent()).toContain('is the same model as');
  await page.keyboard.press('Escape');
});

it('sets on the Device page how many runs train at once, and keeps it', async () => {
  const { at, page } = here.window;
  await here.window.go('device');
  const count = at('runs-at-once').locator('input');
  await expect.poll(() => count.getAttribute('placeholder')).toMatch(/^auto: \d+$/);
  await here.window.set('runs-at-once', 3);
  // The page reads it from main, which has it by then; a reload might come before it was sent.
  await here.window.go('build');
  await here.window.go('device');
  await expect.poll(() => count.inputValue()).toBe('3');
  await page.reload();
  await expect.poll(() => count.inputValue()).toBe('3');
  await here.window.set('runs-at-once', '');
  expect(here.window.errors).toEqual([]);
});
