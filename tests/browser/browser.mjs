// A page under test: Chromium, and a record of everything it complained about.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test as plain } from 'node:test';

import { chromium } from 'playwright-core';

import { root } from './cockpit.mjs';
import { PATIENCE } from './wait.mjs';

const screens = join(root, 'tests/.cache/screens');

/** What the network says once the engine is gone. */
export const ENGINE_GONE =
  /ERR_(CONNECTION_REFUSED|CONNECTION_RESET|INCOMPLETE_CHUNKED_ENCODING|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)/;
/** What it says of a request without the right token. */
export const UNAUTHORIZED = /status of 401/;

/** The pages that are open, newest last. */
const pages = [];

/** A test that leaves a picture of every open page when it fails. */
export function test(name, body) {
  plain(name, async () => {
    try {
      await body();
    } catch (error) {
      const slug = name.replace(/[^a-z0-9]+/gi, '-').slice(0, 50);
      for (const [i, page] of pages.entries())
        await picture(page, `failed-${slug}-${i}`).catch(() => undefined);
      throw error;
    }
  });
}

export class Browser {
  static async open() {
    const browser = new Browser();
    browser.chromium = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ['--disable-gpu', '--disable-background-networking'],
      timeout: PATIENCE,
    });
    return browser;
  }

  /** A tab of its own, with nothing stored. */
  async page({ width = 1280, height = 860, colorScheme = 'light' } = {}) {
    const context = await this.chromium.newContext({ viewport: { width, height }, colorScheme });
    context.setDefaultTimeout(PATIENCE);
    const page = await context.newPage();
    pages.push(page);
    page.complaints = [];
    page.origins = new Set();
    page.on('console', (message) => {
      if (!['error', 'warning'].includes(message.type())) return;
      page.complaints.push(`${message.type()}: ${message.text()} (${message.location().url})`);
    });
    page.on('pageerror', (error) => page.complaints.push(`uncaught: ${error.stack ?? error.message}`));
    page.on('request', (request) => {
      if (/^(http|ws)/.test(request.url())) page.origins.add(new URL(request.url()).origin);
    });
    await page.addInitScript(() => {
      addEventListener('securitypolicyviolation', (event) => {
        console.error(`policy violation: ${event.violatedDirective} by ${event.blockedURI}`);
      });
    });
    return page;
  }

  async close() {
    await this.chromium?.close();
  }
}

/** A tab that is signed in and shows the services. */
export async function signedIn(browser, cockpit, options) {
  const page = await browser.page(options);
  await page.goto(await cockpit.signedInUrl());
  await verdict(page).waitFor();
  await page.getByRole('article').first().waitFor();
  return page;
}

/** Nothing was complained about, but what the test itself provoked; nothing was asked elsewhere. */
export function assertCalm(page, ...provoked) {
  const unprovoked = page.complaints.filter((text) => !provoked.some((pattern) => pattern.test(text)));
  assert.deepEqual(unprovoked, []);
  assert.deepEqual([...page.origins], [new URL(page.url()).origin]);
}

export async function picture(page, name) {
  mkdirSync(screens, { recursive: true });
  await page.screenshot({ path: join(screens, `${name}.png`), animations: 'disabled' });
}

// What there is on the screens, by role and name.

export const verdict = (page) => page.getByRole('heading', { level: 1 });
export const card = (page, name, state) =>
  page.getByRole('article', {
    name: state === undefined ? new RegExp(`^${name}, `) : `${name}, ${state}`,
    exact: true,
  });
export const row = (page, name) =>
  page
    .getByRole('group', { name: /^Services/ })
    .getByRole('row')
    .filter({ has: page.getByRole('link', { name, exact: true }) });
export const detail = (page, name) => page.getByRole('region', { name, exact: true });
export const tab = (page, name) => page.getByRole('tab', { name, exact: true });
export const logOf = (page, name) => page.getByRole('log', { name: `Log of ${name}` });

/** Where anything reaches farther than it may: the page, or a box that scrolls sideways. */
export function overflowing(page) {
  return page.evaluate(() => {
    const told = (element) =>
      `${element.tagName.toLowerCase()}.${element.className} ${element.scrollWidth} > ${element.clientWidth}`;
    const found = [document.documentElement, document.body]
      .filter((e) => e.scrollWidth > e.clientWidth)
      .map(told);
    for (const element of document.body.querySelectorAll('*')) {
      const scrolls = ['auto', 'scroll'].includes(getComputedStyle(element).overflowX);
      // A log's lines are as long as they are.
      if (scrolls && element.role !== 'log' && element.scrollWidth > element.clientWidth + 1)
        found.push(told(element));
      const box = element.getBoundingClientRect();
      const hidden = element.closest('[role=log], .visually-hidden, .clip, svg') !== null;
      if (!hidden && box.width > 0 && box.right > innerWidth + 1)
        found.push(`${told(element)}: ends at ${box.right}`);
    }
    return found;
  });
}
