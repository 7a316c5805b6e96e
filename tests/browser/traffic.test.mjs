// Requests to models, from the first to what is told of the last: a real gateway before doubles of an OpenAI
// and an Ollama, real requests, and the screen that accounts for them.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before } from 'node:test';

import { assertCalm, Browser, ENGINE_GONE, overflowing, picture, signedIn, test } from './browser.mjs';
import { Cockpit, exe, freePorts } from './cockpit.mjs';
import { until } from './wait.mjs';

let browser, cockpit, page, ports;

before(async () => {
  process.env.VENDOR_KEY = 'sk-kept-elsewhere';
  const [gateway, openai, ollama] = await freePorts(3);
  ports = { gateway, openai, ollama };
  const simulate = (what) =>
    `command = [${JSON.stringify(exe)}, "simulate", "${what}", "--port", "{port}", "--tokens-per-second", "0"]`;
  cockpit = await Cockpit.start(`
[services.ollama]
kind = "ollama"
${simulate('ollama')}
listen = "127.0.0.1:${ollama}"
ready = { every = "500ms", timeout = "2s" }

[services.vendor]
${simulate('openai')}
listen = "127.0.0.1:${openai}"
ready = { tcp = "127.0.0.1:{port}", every = "500ms", timeout = "2s" }

[gateway]
listen = "127.0.0.1:${gateway}"

[providers.openai]
kind = "openai"
api_key = { env = "VENDOR_KEY" }
base_url = "http://127.0.0.1:${openai}/v1"

[routes.chat]
targets = ["openai/gpt-4o", "ollama/llama3.2"]

[budgets]
monthly_usd = 50
`);
  await cockpit.allReady();
  browser = await Browser.open();
  page = await signedIn(browser, cockpit, { width: 1600, height: 1000 });
});
after(async () => {
  await browser?.close();
  await cockpit?.end();
});

/** Sends a request through the gateway; its answer's status. */
async function ask(model, user, more = {}) {
  const answer = await fetch(`http://127.0.0.1:${ports.gateway}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-cockpit-agent': 'tester' },
    body: JSON.stringify({ model, user, messages: [{ role: 'user', content: 'What is a mole?' }], ...more }),
  });
  await answer.text();
  return answer.status;
}

const heading = (text) => page.getByRole('heading', { level: 1, name: text });
const figure = (name) => page.getByRole('region', { name: 'In figures' }).locator('div', { hasText: name }).first();
const calls = () => page.getByRole('group', { name: /^Calls/ });

test('before the first request it says where to send one', async () => {
  await page.keyboard.press('3');
  await page.getByRole('heading', { name: 'The gateway is open, and waits' }).waitFor();
  await page.getByText(`http://127.0.0.1:${ports.gateway}/v1`, { exact: true }).waitFor();
  const curl = await page.locator('pre').innerText();
  assert.match(curl, /"model":"chat"/);
  await picture(page, 'traffic-start-light-1600');
});

test('requests come onto the screen by themselves', async () => {
  for (let i = 0; i < 12; i += 1) assert.equal(await ask('chat', ['ada', 'grace', 'linus'][i % 3]), 200);
  for (let i = 0; i < 4; i += 1) assert.equal(await ask('ollama/llama3.2', 'ada', { stream: true }), 200);
  assert.equal(await ask('openai/gpt-4o!400', 'grace'), 400);
  // All there is began a moment ago: nobody has to look for it in a day.
  await heading(/^17 requests in the last hour cost \$0\.0\d+, 1 failed$/).waitFor();
  await calls().getByRole('row').nth(17).waitFor();
  await figure('Requests').getByText('17', { exact: true }).waitFor();
  await page.getByRole('group', { name: 'Model mix' }).getByText('openai/gpt-4o', { exact: true }).waitFor();
  // What stands there is what the engine says.
  const { body } = await cockpit.ask('GET', '/api/usage?window=24h');
  assert.equal(body.totals.calls, 17);
  await page.getByRole('button', { name: '24h', exact: true }).click();
  await heading(/^17 requests in the last 24 hours/).waitFor();
  await page.getByRole('button', { name: '1h', exact: true }).click();
  await heading(/^17 requests in the last hour/).waitFor();
  await picture(page, 'traffic-light-1600');
  assert.deepEqual(await overflowing(page), []);
});

test('a user leads to the calls, a call to all that is known of it', async () => {
  await page
    .getByRole('group', { name: 'Usage by user' })
    .getByRole('button', { name: 'grace', exact: true })
    .click();
  await page.getByRole('button', { name: /^user grace/ }).waitFor();
  await until('five calls', async () => (await calls().locator('[data-call]').count()) === 5);
  const row = calls().locator('[data-call]', { hasText: 'Refused' });
  await row.click();
  const detail = page.getByRole('complementary');
  await detail.getByText('caller_refused').waitFor();
  await detail.getByText('tester').waitFor();
  await picture(page, 'traffic-call-light-1600');
  await page.keyboard.press('Escape');
  await detail.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: /^user grace/ }).click();
  await calls().locator('[data-call]').nth(16).waitFor();
});

test('dragging over a chart zooms, a click in it shows the calls of that time', async () => {
  const plot = page.getByRole('group', { name: /^Cost by model; arrow keys/ }).locator('.u-over');
  await plot.scrollIntoViewIfNeeded();
  const box = await plot.boundingBox();
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width - 120, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width - 4, y, { steps: 6 });
  await page.mouse.up();
  await heading(/^\d+ requests? in \d\d:\d\d–\d\d:\d\d/).waitFor();
  await picture(page, 'traffic-zoom-light-1600');
  await page.getByRole('button', { name: /leave the zoom/ }).click();
  await heading(/in the last hour/).waitFor();
  const chart = page.getByRole('group', { name: /^Requests; arrow keys/ });
  await chart.focus();
  await page.keyboard.press('End');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: /^\d\d:\d\d–\d\d:\d\d take away/ }).waitFor();
  await page.goBack();
  await page.getByRole('button', { name: /take away/ }).waitFor({ state: 'detached' });
});

test('figures and pictures can be saved', async () => {
  const save = async (item) => {
    await page.getByRole('button', { name: /^(Cost|Tokens) by model: table and files/ }).click();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('menuitem', { name: item }).click(),
    ]);
    return { name: download.suggestedFilename(), content: readFileSync(await download.path()) };
  };
  const table = await save('Save CSV');
  assert.equal(table.name, 'cost-by-model.csv');
  assert.match(table.content.toString().split('\r\n')[0], /^from,to,openai\/gpt-4o \(USD\),ollama\/llama3\.2 \(USD\)/);
  const drawing = await save('Save SVG');
  assert.match(drawing.content.toString(), /^<svg/);
  const bitmap = await save('Save PNG');
  assert.equal(bitmap.content.subarray(1, 4).toString(), 'PNG');
});

test('a target that fails is left alone, the route falls back, and a reset asks it again', async () => {
  for (let i = 0; i < 4; i += 1) await ask('openai/gpt-4o!500', 'ada');
  const targets = page.getByRole('group', { name: 'Targets and routes' });
  const row = targets.getByRole('listitem').filter({ hasText: 'left alone' }).first();
  await row.waitFor();
  await page.getByText(/is left alone/).first().waitFor();
  await picture(page, 'traffic-breaker-light-1600');
  await row.getByRole('button', { name: /^Reset/ }).click();
  const question = page.getByRole('dialog', { name: /^Ask openai\/gpt-4o!?.* again\?$/ });
  await question.getByRole('button', { name: 'Reset' }).click();
  await row.waitFor({ state: 'detached' });
});

test('the overview has today’s figures', async () => {
  await page.keyboard.press('1');
  const today = page.getByRole('region', { name: 'AI traffic today' });
  await today.getByText('21', { exact: true }).waitFor();
  await picture(page, 'overview-ai-light-1600');
});

test('at 1000 px nothing reaches over the edge, in the dark either', async () => {
  const small = await signedIn(browser, cockpit, { width: 1000, height: 700, colorScheme: 'dark' });
  await small.keyboard.press('3');
  await small.locator('[data-call]').first().waitFor();
  await picture(small, 'traffic-dark-1000');
  assert.deepEqual(await overflowing(small), []);
  await small.locator('main').evaluate((main) => main.scrollTo(0, main.scrollHeight));
  await picture(small, 'traffic-lower-dark-1000');
  assertCalm(small);
});

test('what an abrupt end of the engine left out is told', async () => {
  await page.keyboard.press('3');
  await heading(/^21 requests/).waitFor();
  assert.equal(await page.getByText(/not recorded/i).count(), 0);
  await cockpit.killEngine();
  await cockpit.begin();
  await page.getByText(/^Not recorded .*\d\d:\d\d.*: the cockpit ended abruptly\. Some requests/).waitFor();
  const chart = page.getByRole('group', { name: /^Requests; arrow keys/ });
  await chart.focus();
  await page.keyboard.press('End');
  await page.getByText(/; (partly )?not recorded: the cockpit ended abruptly/).waitFor({ state: 'attached' });
  await picture(page, 'traffic-not-recorded-light-1600');
});

test('nothing of all this was complained about', () => assertCalm(page, ENGINE_GONE));
