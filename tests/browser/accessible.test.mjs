// Every screen, in every scene worth looking at, judged by axe by the rules of WCAG 2.2 AA: above all
// whether its text can be read, in light and dark, with more contrast, and with the system's own colours.
// The scenes are the UI's own (ui/tests/look): an engine cannot be brought into all these states at once.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before } from 'node:test';

import { serve } from '../../ui/tests/look/server.mjs';
import { shots } from '../../ui/tests/look/shots.mjs';
import { Browser, picture, test } from './browser.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
// Without motion: a colour half way is not one that anybody reads.
const LOOKS = [
  { name: 'light', media: { colorScheme: 'light', contrast: 'no-preference', forcedColors: 'none' } },
  { name: 'dark', media: { colorScheme: 'dark', contrast: 'no-preference', forcedColors: 'none' } },
  { name: 'more contrast', media: { colorScheme: 'dark', contrast: 'more', forcedColors: 'none' } },
  {
    name: 'forced colours',
    media: { colorScheme: 'dark', contrast: 'no-preference', forcedColors: 'active' },
  },
];

let browser;
before(async () => {
  browser = await Browser.open();
});
after(() => browser?.close());

/** What axe finds wrong, one line each. */
async function faults(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(
    (rules) => globalThis.axe.run(document, { runOnly: rules, resultTypes: ['violations'] }),
    RULES,
  );
  return violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.target.join(' ')}: ${node.any[0]?.message ?? node.failureSummary}`),
  );
}

for (const [scene, name, hash, act] of shots) {
  test(`${scene}, ${name}`, async () => {
    const server = await serve(scene);
    const page = await browser.page({ width: 1280, height: 860 });
    try {
      await page.emulateMedia({ reducedMotion: 'reduce' });
      const origin = `http://127.0.0.1:${server.address().port}/`;
      await page.goto(hash === null ? origin : `${origin}#code=look&${hash}`);
      await page.waitForSelector(hash === null ? 'form' : 'h1');
      if (act === 'lose') {
        server.closeAllConnections();
        server.close();
        await page.getByRole('alert').waitFor();
      } else if (act) {
        await act(page);
      }
      const found = [];
      for (const { name: look, media } of LOOKS) {
        await page.emulateMedia({ ...media, reducedMotion: 'reduce' });
        if (look === 'more contrast' || look === 'forced colours')
          await picture(page, `${scene}-${name}-${look.replace(' ', '-')}`);
        for (const fault of await faults(page)) found.push(`${look}: ${fault}`);
      }
      assert.deepEqual(found, []);
    } finally {
      await page.context().close();
      server.closeAllConnections();
      server.close();
    }
  });
}
