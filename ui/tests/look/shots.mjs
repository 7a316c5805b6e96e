// The screens worth looking at: scene, name, address (null: not signed in), and what is done there first
// (`lose`: the engine goes).

const toCalls = async (page) => {
  await page.locator('[data-call]').first().waitFor();
  await page.locator('main').evaluate((main) => main.scrollTo(0, main.scrollHeight));
};
const toEnd = (page) => page.locator('main').evaluate((main) => main.scrollTo(0, main.scrollHeight));
const toCharts = (page) =>
  page.locator('.charts').evaluate((charts) => charts.scrollIntoView({ block: 'start' }));
const toTargets = (page) =>
  page
    .getByRole('region', { name: 'Targets and routes, now' })
    .evaluate((targets) => targets.scrollIntoView());
const asTables = async (page) => {
  for (const name of ['Cost by model', 'Latency', 'Requests', 'Tokens', 'Errors by whose fault']) {
    await page.getByRole('button', { name: `${name}: table and files` }).click();
    await page.getByRole('menuitem', { name: 'Show as Table' }).click();
  }
};
const overChart = (page) =>
  page
    .locator('.charts .u-over')
    .first()
    .hover({ position: { x: 200, y: 60 } });
const overGap = async (page) => {
  const chart = page.getByRole('group', { name: /^Cost by model; arrow keys/ }).locator('.u-over');
  const { width } = await chart.boundingBox();
  await chart.hover({ position: { x: Math.round(width * 0.64), y: 60 } });
};

export const shots = [
  ['healthy', 'overview', '/overview'],
  ['healthy', 'overview-lower', '/overview', toEnd],
  ['healthy', 'services', '/services/api'],
  ['healthy', 'log', '/services/api/log'],
  ['healthy', 'history', '/services/api/history'],
  ['healthy', 'models', '/services/ollama/models'],
  ['healthy', 'containers', '/services/supabase/containers'],
  ['healthy', 'palette', '/overview', (page) => page.keyboard.press('Control+k')],
  ['healthy', 'keys', '/overview', (page) => page.keyboard.press('?')],
  ['healthy', 'stop', '/services/ollama', (page) => page.getByRole('button', { name: 'Stop…' }).click()],
  ['healthy', 'engine', '/overview', (page) => page.getByRole('button', { name: 'Engine running' }).click()],
  [
    'healthy',
    'notice',
    '/services/api',
    (page) => page.getByRole('button', { name: 'Restart api' }).last().click(),
  ],
  ['failing', 'overview', '/overview'],
  ['failing', 'services', '/services/api'],
  ['failing', 'containers', '/services/supabase/containers'],
  ['failing', 'history', '/services/api/history', (page) => page.locator('details summary').first().click()],
  ['many', 'overview', '/overview'],
  ['many', 'services', '/services/gateway'],
  ['many', 'services-top', '/services/ollama'],
  ['empty', 'overview', '/overview'],
  ['empty', 'services', '/services'],
  ['healthy', 'traffic', '/traffic?window=24h'],
  ['healthy', 'traffic-lower', '/traffic?window=7d', toCalls],
  ['healthy', 'traffic-call', '/traffic?window=24h', (page) => page.locator('[data-call] a').first().click()],
  ['healthy', 'traffic-tables', '/traffic?window=1h', asTables],
  [
    'healthy',
    'traffic-menu',
    '/traffic?window=24h',
    (page) => page.getByRole('button', { name: 'Tokens: table and files' }).click(),
  ],
  ['failing', 'traffic', '/traffic?window=24h'],
  ['failing', 'traffic-lower', '/traffic?window=24h&outcome=error', toCalls],
  ['failing', 'traffic-charts', '/traffic?window=24h', toCharts],
  ['failing', 'traffic-targets', '/traffic?window=24h', toTargets],
  ['failing', 'traffic-gap', '/traffic?window=24h', overGap],
  [
    'failing',
    'traffic-reset',
    '/traffic',
    (page) =>
      page
        .getByRole('button', { name: /^Reset/ })
        .first()
        .click(),
  ],
  ['load', 'traffic', '/traffic?window=30d'],
  ['load', 'traffic-lower', '/traffic?window=30d', toCalls],
  ['load', 'traffic-hover', '/traffic?window=24h', overChart],
  ['load', 'traffic-charts', '/traffic?window=30d', toCharts],
  ['flawless', 'traffic', '/traffic?window=24h'],
  ['flawless', 'traffic-charts', '/traffic?window=24h', toCharts],
  ['fresh', 'traffic', '/traffic'],
  ['quiet', 'traffic', '/traffic'],
  ['shut', 'traffic', '/traffic'],
  ['empty', 'traffic', '/traffic'],
  ['older', 'traffic', '/traffic'],
  [
    'demo',
    'detect',
    '/overview',
    (page) => page.getByRole('button', { name: /found on this machine/ }).click(),
  ],
  ['demo', 'overview', '/overview'],
  ['healthy', 'signin', null],
  ['healthy', 'lost', '/overview', 'lose'],
];
