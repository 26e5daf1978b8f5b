// Rough handling: logs that hold odd numbers or come from elsewhere, runs deleted while they are shown, pages reloaded while they train.
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { root } from './lab';
import { openLab } from './opened';

const here = openLab();

const spec = (name: string, change: object = {}) => ({
  format: 'archlab.run/1',
  name,
  model: { format: 'archlab.model/1', width: 32, layers: [{ block: 'softmax_attention' }] },
  task: { id: 'text', options: { tokens: 32 } },
  budget: { steps: 40 },
  ...change,
});
type Values = Record<string, number | null>;
const metric = (step: number, values: Values, more: object = {}) => ({
  ...{ kind: 'metric', step, tokens: step * 64, seconds: step / 10, values },
  ...more,
});
const built = {
  kind: 'built',
  step: 0,
  facts: {
    ...{ parameters: 1000, stepFlops: 1e18, stateBytes: 0, tokensPerStep: 64, device: 'cpu', deviceDetail: 'here' },
    ...{ threads: 1, precision: 'float32', kernelVersion: 'old', fallbacks: [] },
  },
};
const ended = { kind: 'ended', step: 40, status: 'finished', why: 'All 40 steps are done.' };

/** Lays a run folder as another lab could have written it; a line that is a text goes into the log as it stands. */
function lay(id: string, runSpec: object, events: readonly (object | string)[]): void {
  const folder = join(here.folder, 'runs', id);
  mkdirSync(join(folder, 'checkpoints'), { recursive: true });
  const line = (event: object | string, i: number) =>
    typeof event === 'string' ? event : JSON.stringify({ seq: i + 1, at: 1.7e12 + i, ...event });
  if (events.length) writeFileSync(join(folder, 'events.jsonl'), `${events.map(line).join('\n')}\n`);
  writeFileSync(join(folder, 'spec.json'), JSON.stringify(runSpec));
}

// Each run but the two flat ones has a number of steps of its own, and so a row of its own.
const ODD = [2.5, null, 1e38, 0, -1, 1e-300, 5e-324, 2.5, 2.5000000000000004, 1.7e308, null, null];
const runs: Record<string, () => void> = {
  flat: () => {
    // Two seeds whose means differ by a rounding.
    for (const [seed, loss] of [
      [1, 0.3],
      [2, 0.1 + 0.2],
    ])
      lay(`flat-${seed}`, spec(`Flat, seed ${seed}`, { seed }), [
        built,
        ...Array.from({ length: 40 }, (_, i) => metric(i + 1, { 'loss/train': loss, lr: 0.001 })),
        { ...metric(40, { 'loss/validation': loss }), kind: 'evaluation' },
        ended,
      ]);
  },
  odd: () =>
    lay('odd', spec('Odd numbers', { budget: { steps: 41 } }), [
      built,
      ...ODD.map((loss, i) => metric(i + 1, { 'loss/train': loss, grad_norm: loss, 'loss/validation[kv=8]': loss })),
      ended,
    ]),
  still: () =>
    lay('still', spec('Time stands still', { budget: { steps: 42 } }), [
      built,
      ...Array.from({ length: 20 }, (_, i) => metric(i + 1, { 'loss/train': 3 - i / 10 }, { tokens: 0, seconds: 0 })),
      ended,
    ]),
  point: () => lay('point', spec('One point', { budget: { steps: 43 } }), [built, metric(7, { 'loss/train': 2 })]),
  empty: () => lay('empty', spec('Nothing said', { budget: { steps: 44 } }), []),
  unknown: () =>
    lay('unknown', spec('A block of a later build', { model: { ...spec('').model, layers: [{ block: 'later' }] } }), [
      metric(1, { 'loss/train': 5, 'a metric/of "its" own': 1 }),
      { kind: 'ended', step: 1, status: 'failed', why: 'It did not go well.' },
    ]),
  damaged: () =>
    lay('damaged', spec('Damaged log', { budget: { steps: 45 } }), [
      metric(1, { 'loss/train': 5 }),
      '{"seq":2,"at":17000',
      'not JSON at all',
      { kind: 'a kind of a later build', step: 2 },
      { ...metric(3, { 'loss/train': 4 }), at: 1e300 },
    ]),
};
const LAID = Object.keys(runs).length + 1; // two of them are flat

const rows = () => here.window.at('run-row').count();

it('takes in what it can read, and leaves out what is of another format', async () => {
  for (const make of Object.values(runs)) make();
  lay('foreign', { ...spec('Of a later format'), format: 'archlab.run/9' }, [built]);
  await here.window.go('runs');
  await expect.poll(rows).toBe(LAID);
  expect(here.lab.said()).toMatch(/foreign is not taken in: .*format/);
});

it('shows each of them whole', async () => {
  const { at, page } = here.window;
  for (const id of ['flat-1', 'odd', 'still', 'point', 'empty', 'unknown', 'damaged']) {
    await page.locator(`[data-run-id="${id}"]`).click();
    await at('run-panel').waitFor();
    for (const tab of ['Samples', 'Generate', 'Config', 'Log', 'Overview']) {
      await page.getByRole('tab', { name: tab }).click();
      if (tab === 'Log') await at('log-readings').click();
    }
    await at('run-facts').waitFor();
    await at('panel-close').click();
  }
});

it('draws them side by side on every axis, and zooms until nothing smaller can be shown', async () => {
  const { at, page } = here.window;
  await here.window.go('compare');
  await expect.poll(() => at('summary-row').count()).toBe(LAID - 1); // the two flat ones are one
  const chart = at('chart-loss').getByRole('slider');
  const drag = async () => {
    const { x, y, width, height } = (await chart.boundingBox())!;
    await page.mouse.move(x + width / 2, y + height / 2);
    await page.mouse.down();
    await page.mouse.move(x + width / 2 + 10, y + height / 2, { steps: 2 });
    await page.mouse.up();
  };
  for (const setting of ['', 'log-y', 'clip-outliers', 'group-seeds']) {
    if (setting) await at(setting).click();
    for (const axis of ['tokens', 'seconds', 'flops', 'step']) {
      await at(`x-axis-${axis}`).click();
      await expect.poll(() => at('chart-loss').isVisible()).toBe(true);
      for (let i = 0; i < 6; i++) await drag();
      await chart.focus();
      for (const key of ['ArrowLeft', 'Shift+ArrowLeft', 'End', 'Home', '+', '-', '0']) await page.keyboard.press(key);
    }
  }
});

it('lets runs go while they are shown, and brings them back', async () => {
  const { at, page } = here.window;
  const before = await at('summary-row').count();
  const other = await page.context().browser()!.newPage();
  await other.goto(here.lab.address);
  await other.getByTestId('nav-runs').click();
  await other.locator('[data-run-id="still"]').click();
  await other.locator('[data-run-id="still"]').press('Delete');
  await expect.poll(() => at('summary-row').count()).toBe(before - 1);
  await other.getByTestId('undo').click();
  await expect.poll(() => at('summary-row').count()).toBe(before);
  await other.close();
});

it('is reloaded again and again while a run trains, and shows its end', async () => {
  const { at, page } = here.window;
  const file = join(here.folder, 'spec.json');
  writeFileSync(file, JSON.stringify(spec('Reloaded', { budget: { steps: 1500 }, samples: { every: 0 } })));
  const out = join(here.folder, 'runs', 'reloaded');
  const training = spawn(process.execPath, [resolve(root, 'out/main/cli.js'), 'train', file, '--out', out], {
    stdio: 'ignore',
  });
  const over = new Promise((done) => training.on('exit', done));
  for (const place of ['compare', 'runs', 'compare', 'build', 'runs'] as const) {
    await here.window.go(place);
    await page.reload();
    await at(`nav-${place}`).waitFor();
  }
  expect(await over).toBe(0);
  await here.window.go('runs');
  await expect
    .poll(() => page.locator('[data-run-id="reloaded"]').getAttribute('data-status'), { timeout: 60_000 })
    .toBe('finished');
});

it('has no errors in its page, and main has none of its own', () => {
  expect(here.window.errors).toEqual([]);
  expect(here.lab.said()).not.toMatch(/internal:|\n\s+at /);
});
