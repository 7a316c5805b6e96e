// A client of the W3C WebDriver protocol: the few commands these tests need, over fetch.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';

/** A port that was free a moment ago. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Asks again and again until something other than null, undefined or false comes back. */
export async function until(what, look, limitMs = 120_000) {
  const end = Date.now() + limitMs;
  let last;
  while (Date.now() < end) {
    try {
      const found = await look();
      if (found !== null && found !== undefined && found !== false) return found;
      last = found;
    } catch (error) {
      last = error;
    }
    await delay(50);
  }
  throw new Error(`waited ${limitMs / 1000} s for ${what}; last seen: ${last}`);
}

/** WebKitWebDriver, and the app it has started. */
export class Session {
  #driver;
  #base;

  static async open(application, args, env) {
    const session = new Session();
    const port = await freePort();
    session.#driver = spawn('WebKitWebDriver', [`--port=${port}`, '--host=127.0.0.1'], {
      // What tells Tauri's web view to let itself be driven.
      env: { ...process.env, ...env, TAURI_AUTOMATION: 'true', TAURI_WEBVIEW_AUTOMATION: 'true' },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const driver = `http://127.0.0.1:${port}`;
    await until('WebKitWebDriver', async () => (await fetch(`${driver}/status`)).ok);
    const { sessionId } = await command('POST', `${driver}/session`, {
      capabilities: {
        alwaysMatch: { 'webkitgtk:browserOptions': { binary: application, args } },
      },
    });
    session.#base = `${driver}/session/${sessionId}`;
    await command('POST', `${session.#base}/timeouts`, { script: 120_000 });
    return session;
  }

  async close() {
    // The app may have gone already: that is a result, not an error.
    await command('DELETE', this.#base).catch(() => undefined);
    this.#driver.kill();
  }

  title() {
    return command('GET', `${this.#base}/title`);
  }

  run(script, ...args) {
    return command('POST', `${this.#base}/execute/sync`, { script, args });
  }

  /** A script that calls its last argument when it is done. */
  runAsync(script, ...args) {
    return command('POST', `${this.#base}/execute/async`, { script, args });
  }

  async screenshot() {
    return Buffer.from(await command('GET', `${this.#base}/screenshot`), 'base64');
  }

  async find(selector) {
    const found = await command('POST', `${this.#base}/element`, { using: 'css selector', value: selector });
    const url = `${this.#base}/element/${found[ELEMENT]}`;
    return {
      text: () => command('GET', `${url}/text`),
      click: () => command('POST', `${url}/click`, {}),
    };
  }
}

async function command(method, url, body) {
  const answer = await fetch(url, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  const { value } = await answer.json();
  if (!answer.ok) throw new Error(`${value?.error}: ${value?.message}`);
  return value;
}
