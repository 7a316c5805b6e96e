// Who may look: nobody without the token, and the token stays out of the address.

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

test('a signed-in link enters at once, and its token is neither in the address nor in the history', async () => {
  const page = await browser.page();
  const link = await cockpit.signedInUrl();
  const token = new URL(link).hash.replace('#token=', '');
  assert.ok(token.length >= 32);
  await page.goto(link);
  await verdict(page).waitFor();
  await card(page, 'api').waitFor();
  assert.equal(page.url(), `${origin}/#/overview`);
  await page.getByRole('navigation').getByRole('link', { name: 'Services' }).click();
  await page.goBack();
  assert.ok(!page.url().includes(token));
  assert.ok(!(await page.content()).includes(token));
  assertCalm(page);
});
