// How the demo looks: nothing reaches over the edge of the narrowest window, and pictures for a person.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';

import {
  assertCalm,
  Browser,
  card,
  detail,
  logOf,
  overflowing,
  picture,
  row,
  signedIn,
  tab,
  test,
} from './browser.mjs';
import { Cockpit } from './cockpit.mjs';
import { until } from './wait.mjs';

let browser, cockpit;

before(async () => {
  cockpit = await Cockpit.demo();
  browser = await Browser.open();
  await cockpit.allReady();
});
after(async () => {
  await browser?.close();
  await cockpit?.end();
});

const open = async (options) => {
  const page = await signedIn(browser, cockpit, options);
  for (const { name } of await cockpit.services()) await card(page, name, 'Ready').waitFor();
  // The charts have something to draw.
  await until('some history', async () => {
    const { body } = await cockpit.ask('GET', '/api/host?window=15m&points=600');
    return body.series.at_ms.length >= 20;
  });
  await page.evaluate(() => document.fonts.ready);
  return page;
};
const services = (page) => page.getByRole('navigation').getByRole('link', { name: 'Services' }).click();

for (const colorScheme of ['light', 'dark']) {
  for (const [width, height] of [
    [1000, 700],
    [1600, 1000],
  ]) {
    test(`Overview and Services, ${colorScheme}, ${width} wide`, async () => {
      const page = await open({ width, height, colorScheme });
      await page.getByRole('region', { name: 'Machine' }).locator('canvas').first().waitFor();
      await picture(page, `overview-${colorScheme}-${width}`);
      assert.deepEqual(await overflowing(page), []);
      await services(page);
      await row(page, 'api').click();
      await detail(page, 'api').getByRole('region', { name: 'Probe' }).waitFor();
      await picture(page, `services-${colorScheme}-${width}`);
      assert.deepEqual(await overflowing(page), []);
      assertCalm(page);
    });
  }
}

test('no tab of any service reaches over the edge at 1000 px', async () => {
  const page = await open({ width: 1000, height: 700 });
  await services(page);
  for (const { name } of await cockpit.services()) {
    await row(page, name).click();
    await detail(page, name).waitFor();
    for (const label of await page.getByRole('tab').allInnerTexts()) {
      await tab(page, label).click();
      await page.getByRole('tabpanel', { name: label }).waitFor();
      if (label === 'Log' && name === 'api') await logOf(page, name).getByText('listen').first().waitFor();
      assert.deepEqual(await overflowing(page), [], `${name}, ${label}`);
      if (name === 'api') await picture(page, `services-${label.toLowerCase()}-light-1000`);
    }
  }
  assertCalm(page);
});
