// The screens worth looking at: scene, name, address (null: not signed in), and what is done there first
// (`lose`: the engine goes).

export const shots = [
  ['healthy', 'overview', '/overview'],
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
  ['empty', 'overview', '/overview'],
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
