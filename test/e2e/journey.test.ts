// The user's whole journey in a real browser: from the empty lab over two models built by dragging to their losses side by side.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { archlab, serveLab, temporaryFolder } from './lab';
import { openLab } from './opened';

/** Nats per byte that both models have to get below; an untrained one stands at ln 256 = 5.55. */
const TARGET = 2.6;
const STEPS = 300;

const here = openLab();

/** The training curves of the loss chart, as its own table gives them: the numbers as they were reported, a list each run. */
async function lossCurves(): Promise<number[][]> {
  const { at, page } = here.window;
  await at('chart-loss').getByTestId('chart-export').click();
  const [download] = await Promise.all([page.waitForEvent('download'), at('export-csv').click()]);
  const [, ...rows] = readFileSync(await download.path(), 'utf8')
    .trim()
    .split('\n');
  const lines = new Map<string, number[]>();
  for (const row of rows) {
    const [, label, raw] = /^(".*"|[^,]*),[^,]*,[^,]*,([^,]*),/.exec(row)!;
    lines.set(label, [...(lines.get(label) ?? []), Number(raw)]);
  }
  return [...lines.values()].filter((values) => values.length >= STEPS);
}

/** Numbers that begin the cells of a summary column, a run each. */
const summary = async (column: string) =>
  (await here.window.at(`summary-${column}`).allTextContents()).map((text) => Number.parseFloat(text));
const statuses = () =>
  here.window.page
    .locator('[data-testid="run-row"]')
    .evaluateAll((rows) => rows.map((row) => row.getAttribute('data-status')));

/** Pixels of a chart that are drawn on in a colour, as curves are and axes are not. */
const inked = (chart: string) =>
  here.window.at(`chart-${chart}`).evaluate((element) =>
    [...element.querySelectorAll('canvas')].reduce((sum, canvas) => {
      const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
      for (let i = 0; i < data.length; i += 4)
        if (
          data[i + 3] > 128 &&
          Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 60
        )
          sum += 1;
      return sum;
    }, 0),
  );

it('begins empty, and each page tells the next step', async () => {
  const { at, page } = here.window;
  expect(new URL(page.url()).search).toBe(''); // the token has left the address
  await expect.poll(() => at('gap-0').textContent()).toContain('Drag a block here');
  await here.window.go('runs');
  expect(await at('runs-empty').textContent()).toContain('Start with the example');
  await here.window.go('compare');
  expect(await at('compare-empty').textContent()).toMatch(/\S/);
  expect(await at('run-example').isVisible()).toBe(true);
  await here.window.go('device');
  await expect.poll(() => at('device-cpu').textContent(), { timeout: 60_000 }).toContain('thread');
  await here.window.go('build');
});

it('builds a softmax-attention model and a Mamba-2 model by dragging from the palette', async () => {
  const { at } = here.window;
  await here.window.set('model-width', 64);
  await at('model-name').locator('input').fill('Attention');
  await here.window.drag('softmax_attention', '0');
  await here.window.drag('gated_mlp', '1');
  await expect.poll(() => here.window.titles()).toEqual(['Softmax attention', 'Gated MLP']);

  await at('undo').click();
  await expect.poll(() => here.window.titles()).toEqual(['Softmax attention']);
  await at('redo').click();
  await expect.poll(() => here.window.titles()).toEqual(['Softmax attention', 'Gated MLP']);

  await at('new-tab').click();
  await here.window.set('model-width', 64);
  await at('model-name').locator('input').fill('Mamba-2');
  await here.window.drag('mamba2', '0');
  await here.window.drag('gated_mlp', '1');
  await expect.poll(() => here.window.titles()).toEqual(['Mamba-2', 'Gated MLP']);
  await expect.poll(() => at('total-parameters').textContent()).toMatch(/\d\s?k/i);
  await here.window.picture('build');
});

it(`trains both on the bundled text, and both losses fall below ${TARGET} nats per byte`, async () => {
  const { at } = here.window;
  await at('train').click();
  await at('train-dialog').waitFor();
  for (const [field, value] of Object.entries({ steps: STEPS, batch: 8, lr: 0.004 }))
    await here.window.set(`train-${field}`, value);
  await here.window.picture('train');
  await at('train-start').click();

  await at('compare-page').waitFor();
  await expect.poll(() => at('summary-row').count()).toBe(2);
  const below = async () => {
    const losses = await summary('final');
    return losses.length === 2 && losses.every((loss) => loss < TARGET);
  };
  await expect.poll(below, { timeout: 240_000 }).toBe(true);
  await here.window.go('runs');
  await expect.poll(statuses, { timeout: 120_000 }).toEqual(['finished', 'finished']);
  expect(await at('run-name').allTextContents()).toEqual(
    expect.arrayContaining([expect.stringContaining('Attention'), expect.stringContaining('Mamba-2')]),
  );
});

it('shows both curves, their cost and their differences side by side', async () => {
  const { at } = here.window;
  await here.window.go('compare');
  await expect.poll(() => at('summary-row').count()).toBe(2);
  for (const loss of await summary('final')) expect(loss).toBeLessThan(TARGET);
  for (const column of ['speed', 'parameters', 'state'])
    for (const value of await summary(column)) expect(value).toBeGreaterThan(0);
  await expect.poll(async () => (await lossCurves()).length).toBe(2); // the last points may still be on their way
  const curves = await lossCurves();
  for (const curve of curves) {
    expect(curve[0]).toBeGreaterThan(5); // near ln 256: nothing is known yet
    expect(curve.at(-1)).toBeLessThan(TARGET);
  }
  for (const chart of ['loss', 'tokens_per_s']) await expect.poll(() => inked(chart)).toBeGreaterThan(500);
  expect(await at('diff').textContent()).toContain('mamba2');
  // The table fits the smallest window that is drawn for, 1280 pixels wide.
  expect(await at('summary').evaluate((section) => section.scrollWidth - section.clientWidth)).toBe(0);
  expect(
    await at('summary')
      .locator('.scroll')
      .evaluate((box) => box.scrollWidth - box.clientWidth),
  ).toBe(0);
  await here.window.picture('compare');
  await here.window.go('runs');
  await at('run-row').first().click();
  await at('run-panel').waitFor();
  await here.window.picture('runs');
});

it('lets both models write side by side, and stops them on request', async () => {
  const { at, page } = here.window;
  const texts = (status: string) => page.locator(`[data-testid="written-text"][data-status="${status}"]`).count();
  await here.window.go('compare');
  await at('compare-generate').click();
  await at('generate-prompt').fill('Call me Ishmael');
  await page.keyboard.press('Control+Enter');
  await expect.poll(() => texts('done')).toBe(2);
  for (const text of await at('written-text').allTextContents()) expect(text).toMatch(/^Call me Ishmael.{200}/s);
  expect(await at('written-speed').count()).toBe(2);
  expect(await at('written-state').count()).toBe(2);
  await here.window.picture('generate');

  await here.window.set('generate-length', 20_000);
  await at('generate-start').click();
  await expect.poll(() => texts('writing')).toBe(2);
  await at('generate-stop').click();
  await expect.poll(() => texts('stopped')).toBe(2);
});

it('finds everything again after a reload', async () => {
  const { at, page } = here.window;
  await here.window.go('compare');
  await page.reload();
  await expect.poll(() => at('summary-row').count()).toBe(2);
  await expect.poll(async () => (await summary('final')).every((loss) => loss < TARGET)).toBe(true);
  await here.window.go('build');
  await expect.poll(() => at('tab-1').textContent()).toContain('Mamba-2');
  await expect.poll(() => here.window.titles()).toEqual(['Mamba-2', 'Gated MLP']);
});

it('speaks Russian on request, and English again', async () => {
  const { at, page } = here.window;
  await at('language').click();
  await page.getByText('Русский').click();
  await expect.poll(() => at('nav-compare').textContent()).toMatch(/[а-яё]/i);
  expect(await at('palette').textContent()).toMatch(/[а-яё]/i);
  await here.window.picture('build-russian');
  await at('language').click();
  await page.getByText('English').click();
  await expect.poll(() => at('nav-compare').textContent()).toContain('Compare');
});

it('shows the runs of the command line while it is open', async () => {
  const { code, stdout, stderr } = await archlab([
    'compare',
    '--blocks',
    'mamba2',
    '--steps',
    '4',
    '--batch',
    '2',
    '--tokens',
    '32',
    '--width',
    '32',
    '--folder',
    here.folder,
    '--json',
  ]);
  expect(stderr + stdout).not.toMatch(/internal:/);
  expect(code).toBe(0);
  const [outcome] = JSON.parse(stdout).blocks;
  expect(outcome).toMatchObject({ block: 'mamba2', runs: [expect.any(String)], parameters: expect.any(Number) });
  await here.window.go('runs');
  await expect
    .poll(() => here.window.page.locator(`[data-run-id="${outcome.runs[0]}"]`).getAttribute('data-status'), {
      timeout: 20_000,
    })
    .toBe('finished');
});

it('refuses a second lab on the same folder, and says where the first one is', async () => {
  await expect(serveLab(here.folder)).rejects.toThrow(/already open in process \d+ .*127\.0\.0\.1/s);
});

it('names the folder whose store it can not open', async () => {
  using other = temporaryFolder();
  mkdirSync(join(other.folder, 'lab.sqlite'));
  await expect(serveLab(other.folder)).rejects.toThrow(`can't make or open its files in ${other.folder}`);
});

it('loses nothing when it is killed: the run is shown as interrupted, and resumes', async () => {
  const { at, page } = here.window;
  await here.window.go('build');
  await at('train').click();
  await here.window.set('train-steps', 1500);
  await at('train-model-0').click(); // the Mamba-2 model alone
  await at('train-start').click();
  await here.window.go('runs');
  // Until the list is read anew, an older run stands first.
  const row = page.locator('[data-testid="run-row"][data-status="running"]');
  const progress = async () =>
    Number.parseInt(((await row.getByTestId('run-progress').textContent()) ?? '').replace(/\D*(\d+).*/s, '$1'), 10);
  await expect.poll(progress, { timeout: 60_000 }).toBeGreaterThan(20);
  const id = await row.getAttribute('data-run-id');
  await here.lab.kill();

  here.lab = await serveLab(here.folder);
  await page.goto(here.lab.address);
  await here.window.go('runs');
  const again = page.locator(`[data-run-id="${id}"]`);
  await expect.poll(() => again.getAttribute('data-status'), { timeout: 60_000 }).toBe('interrupted');
  await again.getByTestId('run-resume').click();
  await expect.poll(() => again.getAttribute('data-status'), { timeout: 120_000 }).toBe('finished');
});

it('ends in good order, and the page has no errors but the lost connection', async () => {
  expect(await here.lab.stop()).toBe(0);
  expect(here.lab.said()).toMatch(/^Closing: the runs write their checkpoints/);
  // Chromium itself reports the sockets that the killed lab left behind.
  expect(here.window.errors.filter((text) => !/WebSocket|ERR_CONNECTION|ERR_EMPTY/.test(text))).toEqual([]);
});
