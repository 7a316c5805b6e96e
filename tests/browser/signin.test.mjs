// Who may look: nobody without the token, which is never in an address: a link holds a one-time code.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before } from 'node:test';

import { assertCalm, Browser, card, picture, UNAUTHORIZED, verdict, test } from './browser.mjs';
import { Cockpit, stack } from './cockpit.mjs';

let browser, cockpit, origin;

before(async () => {
  cockpit = await Cockpit.start((await stack()).toml);
  browser = await Browser.open();
  origin = new URL(await cockpit.signedInUrl()).origin;
});
after(async () => {
  await browser?.close();
  await cockpit?.end();
});

const heading = (page) => page.getByRole('heading', { name: 'Sign in to Studio Cockpit' });
const field = (page) => page.getByLabel(/paste the token/);
const enter = (page) => page.getByRole('button', { name: 'Sign In' });

test('without a token there is the sign-in page and nothing else', async () => {
  const page = await browser.page();
  await page.goto(origin);
  await heading(page).waitFor();
  assert.equal(await page.getByRole('navigation').count(), 0);
  assert.equal(await page.getByRole('article').count(), 0);
  const text = await page.locator('body').innerText();
  for (const { name } of await cockpit.services())
    assert.ok(!text.includes(name), `${name} is told to a stranger`);
  assert.ok(await enter(page).isDisabled());
  await picture(page, 'sign-in-light-1280');
  assertCalm(page, UNAUTHORIZED);
});

test('a wrong token is refused, the right one enters and stays for this tab', async () => {
  const page = await browser.page();
  await page.goto(origin);
  await field(page).fill('f'.repeat(64));
  await enter(page).click();
  await page.getByRole('alert').filter({ hasText: 'does not know this token' }).waitFor();
  await heading(page).waitFor();

  await field(page).fill(readFileSync(join(cockpit.data, 'token'), 'utf8'));
  await enter(page).click();
  await card(page, 'api').waitFor();
  assert.equal(await heading(page).count(), 0);
  const signedIn = page.complaints.length;
  await page.reload();
  await card(page, 'api').waitFor();
  assert.deepEqual(page.complaints.slice(signedIn), []);
  assertCalm(page, UNAUTHORIZED);

  // Another tab is a stranger.
  const other = await browser.page();
  await other.goto(origin);
  await heading(other).waitFor();
});

test('a link enters at once and once only, and its code is neither in the address nor in the history', async () => {
  const page = await browser.page();
  const link = await cockpit.signedInUrl();
  const code = new URL(link).hash.replace('#code=', '');
  assert.match(code, /^[0-9a-f]{32}$/);
  const token = readFileSync(join(cockpit.data, 'token'), 'utf8').trim();
  assert.ok(!link.includes(token));
  await page.goto(link);
  await verdict(page).waitFor();
  await card(page, 'api').waitFor();
  assert.equal(page.url(), `${origin}/#/overview`);
  await page.getByRole('navigation').getByRole('link', { name: 'Services' }).click();
  await page.goBack();
  for (const secret of [code, token]) {
    assert.ok(!page.url().includes(secret));
    assert.ok(!(await page.content()).includes(secret));
  }
  await page.reload();
  await card(page, 'api').waitFor();
  assertCalm(page);

  // Whoever picked the link up elsewhere is told so, and what to do.
  const late = await browser.page();
  await late.goto(link);
  await heading(late).waitFor();
  await late.getByRole('alert').filter({ hasText: 'used before, or is too old' }).waitFor();
  assert.equal(late.url(), `${origin}/#/overview`);
  assert.match(await late.locator('body').innerText(), /studio-cockpit open --print-url/);
  await picture(late, 'sign-in-refused-light-1280');

  // A new one works in that very tab, where only the fragment changes.
  await late.goto(await cockpit.signedInUrl());
  await card(late, 'api').waitFor();
  assert.equal(late.url(), `${origin}/#/overview`);
  assertCalm(late, UNAUTHORIZED);
});
