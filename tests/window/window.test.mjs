// The window as a person meets it: launched with nothing there, it brings up the demo stack, says in a
// sentence whether all is well, restarts a service with its phases, and leaves the services at work.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';

import { Session, until } from './webdriver.mjs';

const root = resolve(import.meta.dirname, '../..');
const app = resolve(root, process.env.STUDIO_COCKPIT_APP ?? 'target/debug/studio-cockpit-app');
const pictures = join(root, 'target/window-test');
const data = mkdtempSync(join(tmpdir(), 'cockpit-window-'));
const socket = join(data, 'demo/engine.sock');

let session;

/** Asks the engine itself, past the window. */
function engine(method, path, body) {
  return new Promise((answered, failed) => {
    const headers = { host: 'localhost', 'content-type': 'application/json' };
    const asked = request({ socketPath: socket, method, path, headers }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('end', () => {
        const text = Buffer.concat(pieces).toString();
        answered({ status: answer.statusCode, body: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text });
      });
    });
    asked.on('error', failed);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const pid = async (name) => (await engine('GET', `/api/services/${name}`)).body.instances[0].pid;

async function picture(name) {
  mkdirSync(pictures, { recursive: true });
  writeFileSync(join(pictures, `${name}.png`), await session.screenshot());
}

before(async () => {
  session = await Session.open(app, ['--data-dir', data], {});
});

/** The app's own process; the driver started it and does not tell. */
function appPids() {
  const found = spawnSync('pgrep', ['-f', `^${app} --data-dir ${data}$`], { encoding: 'utf8' });
  return found.stdout.split('\n').filter(Boolean).map(Number);
}

after(async () => {
  await session?.close();
  for (const left of appPids()) process.kill(left, 'SIGKILL');
  await engine('POST', '/api/engine/stop', { stop_services: true }).catch(() => undefined);
  await until('the engine to end', () => engine('GET', '/healthz').then(() => false, () => true));
  rmSync(data, { recursive: true, force: true });
});

test('it starts the engine with the demo stack and says in a sentence that all is well', async () => {
  await until('the verdict', async () => {
    const text = await (await session.find('h1')).text();
    return /^All \d+ services are ready/.test(text);
  });
  const { body: status } = await engine('GET', '/api/status');
  assert.equal(status.engine.demo, true);
  assert.equal(status.services.ready, status.services.total);
  await picture('overview');
});

test('there is a card for every service, with its state in words', async () => {
  const { body: services } = await engine('GET', '/api/services');
  assert.ok(services.length >= 4);
  for (const { name } of services) {
    const card = await session.run(
      'return document.querySelector(`[data-service="${arguments[0]}"]`)?.getAttribute("aria-label");',
      name,
    );
    assert.equal(card, `${name}, Ready`);
  }
});

test('the machine is drawn', () =>
  until('the charts', () => session.run('return document.querySelectorAll(".uplot canvas").length >= 2')));

test('the window can do nothing that its policy forbids', async () => {
  const refused = await session.run(`
    let said = null;
    try { new Function('return 1')(); said = 'code from text ran'; } catch { said = 'refused'; }
    return said;`);
  assert.equal(refused, 'refused');
  assert.equal(await session.run('return typeof window.__TAURI__;'), 'undefined');
});

test('Restart shows its phases and ends in a new process that is ready', async () => {
  const before = await pid('worker');
  await session.run(`
    window.__phases = [];
    const card = document.querySelector('[data-service="worker"]');
    const note = () => {
      const text = card.querySelector('button')?.textContent.trim();
      if (text && window.__phases.at(-1) !== text) window.__phases.push(text);
    };
    new MutationObserver(note).observe(card, { subtree: true, childList: true, characterData: true });
    note();`);
  await (await session.find('[data-service="worker"] button')).click();
  const now = await until('another process', async () => {
    const now = await pid('worker');
    return now !== null && now !== before && now;
  });
  assert.notEqual(now, before);
  await until('the card to be ready again', async () =>
    /Ready/i.test(await (await session.find('[data-service="worker"]')).text()));
  const phases = await until('the button to rest', async () => {
    const seen = await session.run('return window.__phases;');
    return seen.length > 2 && seen.at(-1) === seen[0] && seen;
  });
  assert.equal(phases[0], 'Restart');
  assert.ok(phases.length >= 3, `phases seen: ${phases.join(' → ')}`);
  await picture('restarted');
});

test('the engine is replaced under the window, and no service notices', async () => {
  const names = (await engine('GET', '/api/services')).body
    .filter((service) => service.instances.some((instance) => instance.pid !== null))
    .map((service) => service.name);
  assert.ok(names.length >= 4);
  const pids = await Promise.all(names.map(pid));
  const { body: old } = await engine('GET', '/api/status');
  const refused = await session.runAsync(`
    const done = arguments[arguments.length - 1];
    window.__TAURI_INTERNALS__.invoke('upgrade_engine').then(() => done(null), (error) => done(String(error)));`);
  assert.equal(refused, null);
  const { body: now } = await engine('GET', '/api/status');
  assert.notEqual(now.engine.pid, old.engine.pid);
  await until('all to be ready again', async () => {
    const { services } = (await engine('GET', '/api/status')).body;
    return services.total > 0 && services.ready === services.total;
  });
  assert.deepEqual(await Promise.all(names.map(pid)), pids);
  await until('the window to say so', async () => /^All \d+ services are ready/.test(await (await session.find('h1')).text()));
});

test('Quit in the palette ends the app, and every service works on', async () => {
  const names = ['api', 'worker', 'database'];
  const pids = await Promise.all(names.map(pid));
  const { body: before } = await engine('GET', '/api/status');
  assert.equal(appPids().length, 1);
  await (await session.find('button.find')).click();
  const quit = await until('Quit in the palette', () =>
    session.run(`
      const field = document.querySelector('[role="combobox"]');
      field.value = 'quit, services';
      field.dispatchEvent(new Event('input', { bubbles: true }));
      const found = [...document.querySelectorAll('[role="option"]')];
      return found.length === 1 && /^Quit, services go on/.test(found[0].textContent.trim());`));
  assert.equal(quit, true);
  await picture('quit');
  // The app may be gone before it has answered the driver.
  await (await session.find('[role="option"]')).click().catch(() => undefined);
  await until('the app to end', () => appPids().length === 0);
  const { body: status } = await engine('GET', '/api/status');
  assert.equal(status.engine.pid, before.engine.pid);
  assert.equal(status.services.ready, status.services.total);
  assert.deepEqual(await Promise.all(names.map(pid)), pids);
});

test('opened again, it shows the same engine and services', async () => {
  const before = await pid('api');
  await session.close();
  session = await Session.open(app, ['--data-dir', data], {});
  await until('the verdict', async () => /^All \d+ services are ready/.test(await (await session.find('h1')).text()));
  assert.equal(await pid('api'), before);
});

test('the app killed, every service works on', async () => {
  const before = await pid('api');
  const running = appPids();
  assert.equal(running.length, 1);
  process.kill(running[0], 'SIGKILL');
  await until('the app to be gone', () => appPids().length === 0);
  const { body: status } = await engine('GET', '/api/status');
  assert.equal(status.services.ready, status.services.total);
  assert.equal(await pid('api'), before);
});
