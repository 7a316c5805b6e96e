// Takes a picture of each screen in each scene, at the narrowest and a wide window, light and dark, and
// fails on any error in the page's console (a refused style or script, above all).
//
//   npm run build && npm run look -- [OUT] [FILTER]

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

import { serve } from './server.mjs';
import { shots } from './shots.mjs';

const out = process.argv[2] ?? join(process.env.TMPDIR ?? '/tmp', 'cockpit-look');
const only = process.argv[3] ?? '';
mkdirSync(out, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});
let errors = 0;
for (const [scene, name, hash, act] of shots) {
  for (const [width, height] of [
    [1000, 700],
    [1600, 1000],
  ]) {
    for (const colorScheme of ['light', 'dark']) {
      const file = `${scene}-${name}-${width}-${colorScheme}`;
      if (!file.includes(only)) continue;
      const server = await serve(scene);
      const page = await browser.newPage({ viewport: { width, height }, colorScheme, deviceScaleFactor: 1 });
      page.on('console', (message) => {
        if (
          message.type() !== 'error' ||
          (scene === 'older' && /404/.test(message.text())) ||
          /401|502|ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY/.test(message.text())
        )
          return;
        errors += 1;
        console.error(`${file}: ${message.text()}`);
      });
      page.on('pageerror', (error) => {
        errors += 1;
        console.error(`${file}: ${error.stack}`);
      });
      const origin = `http://127.0.0.1:${server.address().port}/`;
      await page.goto(hash === null ? origin : `${origin}#code=look&${hash}`);
      await page.waitForSelector(hash === null ? 'form' : 'h1');
      await page.waitForTimeout(900);
      if (act === 'lose') {
        server.closeAllConnections();
        server.close();
        await page.waitForTimeout(4_500);
      } else if (act) {
        await act(page);
        await page.waitForTimeout(350);
      }
      await page.screenshot({ path: join(out, `${file}.png`) });
      await page.close();
      server.closeAllConnections();
      server.close();
      console.log(file);
    }
  }
}
await browser.close();
process.exit(errors === 0 ? 0 : 1);
