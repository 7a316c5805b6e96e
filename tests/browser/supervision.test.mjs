// What a person sees of services that live, die, restart and stop.

import assert from 'node:assert/strict';
import { get } from 'node:http';
import { after, before } from 'node:test';

import {
  assertCalm,
  Browser,
  card,
  detail,
  logOf,
  picture,
  row,
  signedIn,
  tab,
  verdict,
  test,
} from './browser.mjs';
import { Cockpit, isAlive, stack } from './cockpit.mjs';
import { until } from './wait.mjs';

let browser, cockpit, page, ports;

before(async () => {
  const services = await stack();
  ports = services.ports;
  cockpit = await Cockpit.start(services.toml);
  browser = await Browser.open();
  page = await signedIn(browser, cockpit);
});
after(async () => {
  await browser?.close();
  await cockpit?.end();
});

const go = (screen) => page.getByRole('navigation').getByRole('link', { name: screen }).click();
const select = async (name, tabName) => {
  await go('Services');
  await row(page, name).click();
  await tab(page, tabName).click();
};
/** A cell of the services table, by its column's heading. */
const cell = async (name, column) => {
  const heads = await page
    .getByRole('group', { name: /^Services/ })
    .getByRole('columnheader')
    .allInnerTexts();
  return row(page, name)
    .getByRole('cell')
    .nth(heads.findIndex((head) => head.trim() === column))
    .innerText();
};
/** A request that the double of the API logs. */
const touch = (path) =>
  new Promise((done, failed) =>
    get(`http://127.0.0.1:${ports.api}${path}`, (a) => a.resume().on('end', done)).on('error', failed),
  );

test('the overview says in a sentence that all is well, with one card for each service', async () => {
  for (const name of ['database', 'api', 'worker']) await card(page, name, 'Ready').waitFor();
  await verdict(page)
    .filter({ hasText: /^All 3 services are ready/ })
    .waitFor();
  assert.equal(await page.getByRole('article').count(), 3);
  assert.match(await page.title(), /^All 3 services are ready/);
  for (const { name, instances } of await cockpit.services()) {
    assert.match(await card(page, name).innerText(), new RegExp(`\\b${instances[0].pid}\\b`));
  }
  await page.getByText('Live', { exact: true }).waitFor();
});

test('a killed service is seen to go, and is ready again with another process', async () => {
  const old = await cockpit.pid('api');
  // What the card said meanwhile is noted as it is said: a fast recovery must not outrun the test.
  await page.evaluate(() => {
    globalThis.said = [];
    const api = document.querySelector('article[data-service="api"]');
    const note = () => {
      const now = api.getAttribute('aria-label');
      if (globalThis.said.at(-1) !== now) globalThis.said.push(now);
    };
    new MutationObserver(note).observe(api, { attributes: true, attributeFilter: ['aria-label'] });
    note();
  });
  process.kill(old, 'SIGKILL');
  const back = await cockpit.wait('api', 'ready', (s) => s.instances[0].pid !== old);
  const { pid, restarts } = back.instances[0];
  await card(page, 'api').getByText(String(pid), { exact: true }).waitFor();
  await card(page, 'api', 'Ready').waitFor();
  const said = await page.evaluate(() => globalThis.said);
  assert.equal(said[0], 'api, Ready');
  assert.equal(said.at(-1), 'api, Ready');
  assert.ok(said.length >= 3, `the screen only said ${said.join(' → ')}`);
  assert.equal(restarts, 1);
  await page.getByRole('group', { name: 'Events' }).getByText('ended by SIGKILL').first().waitFor();
  await verdict(page)
    .filter({ hasText: /^All 3 services are ready/ })
    .waitFor();

  await go('Services');
  await until('one restart in the table', async () => (await cell('api', 'Restarts')).trim() === '1');
  await go('Overview');
});

test('Restart shows where it has got to, and ends ready in a new process', async () => {
  const old = await cockpit.pid('api');
  await page.evaluate(() => {
    globalThis.phases = [];
    const api = document.querySelector('article[data-service="api"]');
    const note = () => {
      const now = api.querySelector('button')?.textContent.trim() ?? '';
      if (globalThis.phases.at(-1) !== now) globalThis.phases.push(now);
    };
    new MutationObserver(note).observe(api, { subtree: true, childList: true, characterData: true });
    note();
  });
  await card(page, 'api').getByRole('button', { name: 'Restart api' }).click();
  const seen = await until('the button to rest again', async () => {
    const phases = await page.evaluate(() => globalThis.phases);
    return phases.length > 2 && phases.at(-1) === 'Restart' && phases;
  });
  assert.equal(seen[0], 'Restart');
  assert.ok(seen.includes('Starting…'), seen.join(' → '));
  assert.equal(seen.at(-2), 'Ready ✓', seen.join(' → '));
  assert.deepEqual(seen.filter((p) => p === 'Restart').length, 2, `it flickered: ${seen.join(' → ')}`);
  await card(page, 'api', 'Ready').waitFor();
  const now = await cockpit.service('api');
  assert.notEqual(now.instances[0].pid, old);
  assert.ok(!isAlive(old));
  assert.equal(now.instances[0].restarts, 1, 'a restart by hand is no crash');
});

test('the table has every service, and the detail its process and what it depends on', async () => {
  await go('Services');
  for (const { name, instances } of await cockpit.services()) {
    await row(page, name).getByText('Ready').waitFor();
    await row(page, name).click();
    await detail(page, name)
      .getByRole('cell', { name: String(instances[0].pid), exact: true })
      .waitFor();
  }
  await row(page, 'api').click();
  assert.match(page.url(), /#\/services\/api$/);
  const dependencies = page.getByRole('region', { name: 'Dependencies' });
  for (const name of ['database', 'worker'])
    await dependencies.getByText(name, { exact: true }).first().waitFor();
});

test('the log follows, is narrowed by a filter, and stands still when paused', async () => {
  await select('api', 'Log');
  const log = logOf(page, 'api');
  await log.getByText('GET /health').first().waitFor();
  await touch('/orders');
  await log.getByText('GET /orders').waitFor();

  const filter = page.getByRole('searchbox', { name: 'Filter log lines' });
  await filter.fill('/orders');
  await page
    .getByRole('status')
    .filter({ hasText: /^1 of \d+ lines$/ })
    .waitFor();
  await until('the other lines to go', async () => (await log.getByText('GET /health').count()) === 0);
  await filter.fill('no line has this');
  await log.getByText('No line matches.').waitFor();
  await filter.fill('');

  await page.getByRole('button', { name: 'Pause' }).click();
  const paused = page.getByRole('button', { name: 'Follow' });
  await paused.waitFor();
  const scrollable = () => log.evaluate((e) => e.scrollHeight - e.clientHeight);
  const lines = await page.getByText(/^\d+ lines$/).innerText();
  const place = await log.evaluate((e) => e.scrollTop);
  await until('more lines than fit', async () => {
    await touch('/health');
    return (await scrollable()) > place + 200;
  });
  assert.notEqual(await page.getByText(/^\d+ lines$/).innerText(), lines);
  assert.equal(await log.evaluate((e) => e.scrollTop), place, 'a paused log does not move');
  await paused.click();
  await touch('/ask');
  await log.getByText('GET /ask').waitFor();
  await until('the end in sight', () =>
    log.evaluate((e) => e.scrollHeight - e.scrollTop - e.clientHeight < 30),
  );
});

test('the history tells of the killed process, by its signal and with its last lines', async () => {
  await select('api', 'History');
  const exits = page.getByRole('region', { name: 'Exits' });
  const killed = exits.getByRole('group').filter({ hasText: 'SIGKILL' });
  await killed.getByText('unexpected').waitFor();
  await killed.getByText('SIGKILL').click();
  await killed
    .getByText(/will listen on|api ready|GET \/health/)
    .first()
    .waitFor();
  // The restart by hand is there too, as asked for.
  await exits.getByText('as asked').first().waitFor();
  await page
    .getByRole('region', { name: 'Everything that happened' })
    .getByText('ended by SIGKILL')
    .first()
    .waitFor();
  await picture(page, 'history-light-1280');
});

test('Stop asks first and names who will be without it; Start brings it back', async () => {
  await select('database', 'Summary');
  const stop = detail(page, 'database').getByRole('button', { name: 'Stop…' });
  const question = page.getByRole('dialog', { name: 'Stop database?' });
  const old = await cockpit.pid('database');

  await stop.click();
  await question.getByText('api and worker depend on it').waitFor();
  await picture(page, 'stop-light-1280');
  await question.getByRole('button', { name: 'Cancel' }).click();
  await question.waitFor({ state: 'detached' });
  assert.equal(await cockpit.pid('database'), old);

  await stop.click();
  await question.getByRole('button', { name: 'Stop database' }).click();
  await row(page, 'database').getByText('Stopped').waitFor();
  await until('its process to be gone', () => !isAlive(old));
  assert.equal((await cockpit.service('database')).manual_stop, true);
  await go('Overview');
  await card(page, 'database', 'Stopped').getByText('stopped by hand').waitFor();
  await picture(page, 'stopped-light-1280');

  await card(page, 'database').getByRole('button', { name: 'Start database' }).click();
  await card(page, 'database', 'Ready').waitFor();
  assert.notEqual(await cockpit.pid('database'), old);
  await verdict(page)
    .filter({ hasText: /^All 3 services are ready/ })
    .waitFor();
});

test('nothing of all this was complained about', () => assertCalm(page));
