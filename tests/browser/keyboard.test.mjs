// Everything by keyboard.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';

import { assertCalm, Browser, card, detail, logOf, picture, row, signedIn, test } from './browser.mjs';
import { Cockpit, stack } from './cockpit.mjs';
import { until } from './wait.mjs';

let browser, cockpit, page;

before(async () => {
  cockpit = await Cockpit.start((await stack()).toml);
  browser = await Browser.open();
  page = await signedIn(browser, cockpit);
  await cockpit.allReady();
  await card(page, 'worker', 'Ready').waitFor();
});
after(async () => {
  await browser?.close();
  await cockpit?.end();
});

const command = process.platform === 'darwin' ? 'Meta' : 'Control';
const current = () => page.getByRole('navigation').locator('[aria-current=page]');

test('1, 2 and 3 go between the screens', async () => {
  await page.keyboard.press('2');
  await row(page, 'api').waitFor();
  await current().filter({ hasText: 'Services' }).waitFor();
  await page.keyboard.press('3');
  await page.getByRole('heading', { name: 'No gateway is configured' }).waitFor();
  await current().filter({ hasText: 'AI traffic' }).waitFor();
  await page.keyboard.press('1');
  await card(page, 'api').waitFor();
  await current().filter({ hasText: 'Overview' }).waitFor();
});

test('the palette restarts a service', async () => {
  const old = await cockpit.pid('worker');
  await page.keyboard.press(`${command}+k`);
  const palette = page.getByRole('dialog', { name: 'Find or do' });
  await palette.waitFor();
  await picture(page, 'palette-light-1280');
  await page.keyboard.type('restart worker');
  const first = palette.getByRole('option').first();
  await first.filter({ hasText: 'Restart worker' }).waitFor();
  assert.equal(await first.getAttribute('aria-selected'), 'true');
  await page.keyboard.press('Enter');
  await palette.waitFor({ state: 'detached' });
  const back = await cockpit.wait('worker', 'ready', (s) => s.instances[0].pid !== old);
  await card(page, 'worker', 'Ready').getByText(String(back.instances[0].pid), { exact: true }).waitFor();
});

test('? shows the keys, Esc closes whatever is open', async () => {
  await page.keyboard.press('?');
  const keys = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
  await keys.getByText('Restart the selected service').waitFor();
  await page.keyboard.press('Escape');
  await keys.waitFor({ state: 'detached' });

  await page.keyboard.press(`${command}+k`);
  const palette = page.getByRole('dialog', { name: 'Find or do' });
  await palette.getByRole('combobox').fill('1');
  // What is typed is typed; it goes nowhere.
  assert.equal(await page.getByRole('article').count(), 3);
  await page.keyboard.press('Escape');
  await palette.waitFor({ state: 'detached' });
});

test('the arrows select, L opens the log, / searches it, R restarts', async () => {
  await page.keyboard.press('2');
  await row(page, 'database').waitFor();
  await detail(page, 'database').waitFor();
  await page.keyboard.press('ArrowDown');
  await detail(page, 'api').waitFor();
  await page.keyboard.press('l');
  await logOf(page, 'api').waitFor();
  await page.keyboard.press('/');
  const filter = page.getByRole('searchbox', { name: 'Filter log lines' });
  await until('the filter to have the focus', () => filter.evaluate((e) => e === document.activeElement));
  await page.keyboard.type('r2');
  assert.equal(await filter.inputValue(), 'r2');
  // Once to clear it, once to leave it.
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  const old = await cockpit.pid('api');
  await page.keyboard.press('r');
  await cockpit.wait('api', 'ready', (s) => s.instances[0].pid !== old);
  await row(page, 'api').getByText('Ready').waitFor();
});

test('a question takes the keys until it is answered', async () => {
  await page.keyboard.press(`${command}+k`);
  await page.keyboard.type('stop worker');
  const palette = page.getByRole('dialog', { name: 'Find or do' });
  await palette.getByRole('option').first().filter({ hasText: 'Stop worker' }).waitFor();
  await page.keyboard.press('Enter');
  const question = page.getByRole('dialog', { name: 'Stop worker?' });
  await question.waitFor();
  const old = await cockpit.pid('api');
  await page.keyboard.press('r');
  await page.keyboard.press('Escape');
  await question.waitFor({ state: 'detached' });
  assert.equal((await cockpit.service('worker')).state, 'ready');
  assert.equal(await cockpit.pid('api'), old);
});

test('nothing of all this was complained about', () => assertCalm(page));
