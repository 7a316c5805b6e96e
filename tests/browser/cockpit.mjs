// A cockpit under test: the real engine on a data folder of its own, whose services are doubles under
// real shims, asked past the browser through its socket.

import { execFile, spawn } from 'node:child_process';
import {
  createWriteStream,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

import { PATIENCE, until } from './wait.mjs';

const run = promisify(execFile);

export const root = resolve(import.meta.dirname, '../..');
export const exe = resolve(root, process.env.STUDIO_COCKPIT ?? 'target/debug/studio-cockpit');

/** Ports that are free now. All are held until all are found, so that none comes twice. */
export async function freePorts(count) {
  const held = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise((found, failed) => {
          const server = createServer();
          server.once('error', failed);
          server.listen(0, '127.0.0.1', () => found(server));
        }),
    ),
  );
  const ports = held.map((server) => server.address().port);
  await Promise.all(held.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}

/** Whether a process exists and is no zombie. */
export function isAlive(pid) {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch (error) {
    return process.platform !== 'linux' && error.code === 'ENOENT';
  }
}

/** A database, an API on it, and a worker on that. */
export async function stack() {
  const [database, api, worker] = await freePorts(3);
  const simulate = (kind, more = '') => `command = [${JSON.stringify(exe)}, "simulate", "${kind}"${more}]`;
  const toml = `
[services.database]
${simulate('database', ', "--port", "{port}"')}
listen = "127.0.0.1:${database}"
ready = { tcp = "127.0.0.1:{port}", every = "500ms", timeout = "2s" }
stop = { signal = "SIGINT", grace = "10s" }

[services.api]
${simulate('http', ', "--port", "{port}", "--ready-after", "600ms"')}
listen = "127.0.0.1:${api}"
depends_on = ["database"]
ready = { http = "http://127.0.0.1:{port}/health", every = "500ms", timeout = "2s", failures = 5 }

[services.worker]
${simulate('worker', ', "--port", "{port}"')}
listen = "127.0.0.1:${worker}"
depends_on = ["api"]
ready = { log = "worker ready" }
`;
  return { toml, ports: { database, api, worker } };
}

export class Cockpit {
  data = mkdtempSync(join(tmpdir(), 'cockpit-browser-'));
  engine = null;
  /** Every process of a service that was ever seen. */
  seen = new Set();

  constructor(verb = ['serve']) {
    this.verb = verb;
  }

  /** With these services and the engine running. */
  static async start(services) {
    const cockpit = new Cockpit();
    // The page must find the engine again where it was.
    [cockpit.port] = await freePorts(1);
    cockpit.configure(services);
    await cockpit.begin();
    return cockpit;
  }

  /** The bundled sample stack. */
  static async demo() {
    const cockpit = new Cockpit(['demo', '--no-window']);
    await cockpit.begin();
    return cockpit;
  }

  /** Saves the configuration as an editor does: a new file in the old one's place. */
  configure(services) {
    const path = join(this.data, 'cockpit.toml');
    const text = `[cockpit]\nlisten = "127.0.0.1:${this.port}"\n${services}`;
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
    return text;
  }

  /** Starts the engine, and waits until its door is open. */
  async begin() {
    const log = createWriteStream(join(this.data, 'engine.log'), { flags: 'a' });
    const engine = spawn(exe, [...this.verb, '--data-dir', this.data], { stdio: ['ignore', 'pipe', 'pipe'] });
    engine.stdout.pipe(log, { end: false });
    engine.stderr.pipe(log, { end: false });
    this.ended = new Promise((resolve) => engine.once('exit', (code, signal) => resolve(signal ?? code)));
    this.engine = engine;
    await until('the engine to answer', async () => {
      if (engine.exitCode !== null)
        throw new Error(`the engine ended with ${engine.exitCode}\n${this.log()}`);
      return (await this.ask('GET', '/readyz')).status === 200;
    });
  }

  log() {
    return readFileSync(join(this.data, 'engine.log'), 'utf8');
  }

  /** Ends the engine as a power cut does. */
  async killEngine() {
    this.engine.kill('SIGKILL');
    await this.ended;
    this.engine = null;
  }

  ask(method, path) {
    return new Promise((answered, failed) => {
      const asked = request(
        {
          socketPath: join(this.data, 'engine.sock'),
          method,
          path,
          headers: { host: 'localhost' },
          timeout: PATIENCE,
        },
        (answer) => {
          const pieces = [];
          answer.on('data', (piece) => pieces.push(piece));
          answer.on('error', failed);
          answer.on('end', () => {
            const text = Buffer.concat(pieces).toString();
            const json = /json/.test(answer.headers['content-type'] ?? '');
            answered({ status: answer.statusCode, body: json ? JSON.parse(text) : text });
          });
        },
      );
      asked.on('timeout', () => asked.destroy(new Error(`${path}: no answer`)));
      asked.on('error', failed);
      asked.end();
    });
  }

  async services() {
    const { body } = await this.ask('GET', '/api/services');
    for (const { instances } of body) for (const { pid } of instances) if (pid !== null) this.seen.add(pid);
    return body;
  }

  async service(name) {
    const found = (await this.services()).find((service) => service.name === name);
    if (found === undefined) throw new Error(`there is no service ${name}`);
    return found;
  }

  async pid(name) {
    return (await this.service(name)).instances[0].pid;
  }

  async pids() {
    return Object.fromEntries((await this.services()).map((s) => [s.name, s.instances[0]?.pid ?? null]));
  }

  /** Waits until a service is in a state, and gives it. */
  wait(name, state, also = () => true) {
    return until(`${name} ${state}`, async () => {
      const service = await this.service(name);
      if (service.state === state && also(service)) return service;
      throw new Error(`${name} is ${service.state}: ${service.cause}`);
    });
  }

  allReady() {
    return until('every service ready', async () => {
      const all = await this.services();
      const late = all.filter((s) => s.state !== 'ready');
      if (all.length > 0 && late.length === 0) return all;
      throw new Error(late.map((s) => `${s.name} is ${s.state}: ${s.cause}`).join('; '));
    });
  }

  async verbOutput(...args) {
    const { stdout } = await run(exe, [...args, '--data-dir', this.data]);
    return stdout.trim();
  }

  /** The address that signs a browser in. */
  signedInUrl() {
    return this.verbOutput('open', '--print-url');
  }

  /** The shims of this cockpit, by the folder their executable runs from (Linux). */
  shims() {
    if (process.platform !== 'linux') return [];
    const from = join(this.data, 'run');
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          return readlinkSync(`/proc/${pid}/exe`).startsWith(from);
        } catch {
          return false;
        }
      })
      .map(Number);
  }

  /** Stops every service, then the engine, and fails if anything of them is left. */
  async end() {
    const left = [];
    try {
      if (this.engine !== null) {
        await this.services();
        await this.verbOutput('stop', '--all');
        this.engine.kill('SIGTERM');
        await this.ended;
        await until('the shims to end', () => this.shims().length === 0);
      }
    } finally {
      this.engine?.kill('SIGKILL');
      for (const pid of [...this.shims(), ...this.seen].filter(isAlive)) {
        left.push(pid);
        process.kill(pid, 'SIGKILL');
      }
      rmSync(this.data, { recursive: true, force: true });
    }
    if (left.length > 0) throw new Error(`processes outlived their cockpit: ${left.join(', ')}`);
  }
}
