// The configuration edited under the engine, and the engine itself gone and back.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';

import {
  assertCalm,
  Browser,
  card,
  ENGINE_GONE,
  logOf,
  picture,
  row,
  signedIn,
  tab,
  test,
} from './browser.mjs';
import { Cockpit, isAlive, stack } from './cockpit.mjs';

let browser, cockpit, page, toml;

before(async () => {
  ({ toml } = await stack());
  cockpit = await Cockpit.start(toml);
  browser = await Browser.open();
  page = await signedIn(browser, cockpit);
  await cockpit.allReady();
  await card(page, 'worker', 'Ready').waitFor();
});
after(async () => {
  await browser?.close();
  await cockpit?.end();
});

test('a broken edit is told with its line and what was meant, and nothing is touched', async () => {
  const before = await cockpit.pids();
  const text = cockpit.configure(`${toml}\n[services.late]\ncomand = ["true"]\n`);
  const line = text.split('\n').findIndex((l) => l.startsWith('comand')) + 1;
  const banner = page.getByRole('alert').filter({ hasText: 'The configuration on disk does not hold' });
  await banner.waitFor();
  await banner.getByText(`cockpit.toml:${line}:1`).waitFor();
  const said = await banner.innerText();
  assert.match(said, /comand/);
  assert.match(said, /\bcommand\b/);
  await picture(page, 'broken-edit-light-1280');
  assert.deepEqual(await cockpit.pids(), before);

  cockpit.configure(toml);
  await banner.waitFor({ state: 'detached' });
  assert.deepEqual(await cockpit.pids(), before);
});

test('a service added to the file gets its card, one taken out loses it', async () => {
  cockpit.configure(`${toml}\n[services.extra]\ncommand = ["sh", "-c", "while :; do sleep 1000; done"]\n`);
  await card(page, 'extra', 'Ready').waitFor();
  const pid = await cockpit.pid('extra');
  cockpit.configure(toml);
  await card(page, 'extra').waitFor({ state: 'detached' });
  assert.equal(await page.getByRole('article').count(), 3);
  assert.ok(!isAlive(pid));
});

test('a killed engine is told of, and a new one is found again with the same processes', async () => {
  const before = await cockpit.pids();
  await cockpit.killEngine();
  const banner = page.getByRole('alert').filter({ hasText: 'The engine is not answering' });
  await banner.waitFor();
  // What was known stays in sight, but cannot be acted upon.
  await card(page, 'api', 'Ready').waitFor();
  assert.ok(await card(page, 'api').getByRole('button', { name: 'Restart api' }).isDisabled());
  await page.getByRole('button', { name: 'Not answering' }).waitFor();
  await picture(page, 'not-answering-light-1280');
  for (const pid of Object.values(before)) assert.ok(isAlive(pid));

  await cockpit.begin();
  await banner.waitFor({ state: 'detached' });
  await page.getByText('Live', { exact: true }).waitFor();
  await cockpit.allReady();
  assert.deepEqual(await cockpit.pids(), before);
  for (const [name, pid] of Object.entries(before)) {
    await card(page, name, 'Ready').getByText(String(pid), { exact: true }).waitFor();
  }
  await card(page, 'api').getByRole('button', { name: 'Restart api' }).click();
  await cockpit.wait('api', 'ready', (s) => s.instances[0].pid !== before.api);
  await card(page, 'api', 'Ready').waitFor();
});

test('an open log goes on after the engine came back, without a line twice', async () => {
  await page.getByRole('navigation').getByRole('link', { name: 'Services' }).click();
  await row(page, 'database').click();
  await tab(page, 'Log').click();
  const log = logOf(page, 'database');
  const starts = log.getByText('starting the database double');
  await starts.first().waitFor();
  const before = await starts.count();
  await cockpit.killEngine();
  await page.getByText('Not connected, trying again').waitFor();
  await cockpit.begin();
  await page.getByText('Not connected, trying again').waitFor({ state: 'detached' });
  const old = await cockpit.pid('database');
  process.kill(old, 'SIGKILL');
  await cockpit.wait('database', 'ready', (s) => s.instances[0].pid !== old);
  await starts.nth(before).waitFor();
  assert.equal(await starts.count(), before + 1);
});

test('nothing was complained about but the missing engine', () =>
  assertCalm(page, ENGINE_GONE));
