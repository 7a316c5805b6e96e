import { cleanup, fireEvent, render, screen } from '@testing-library/svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import App from './App.svelte';
import { Unreachable } from './lib/backend';
import ServiceCard from './lib/overview/ServiceCard.svelte';
import EventList from './lib/parts/EventList.svelte';
import LogText from './lib/services/LogText.svelte';
import Banners from './lib/shell/Banners.svelte';
import Detect from './lib/shell/Detect.svelte';
import { Actions } from './lib/state/actions.svelte';
import { APP, type App as Context } from './lib/state/app';
import { clock } from './lib/state/clock.svelte';
import { Cockpit } from './lib/state/cockpit.svelte';
import { EMPTY_SERIES } from './lib/state/host-series';
import { Overlay } from './lib/state/overlay.svelte';
import { Traffic } from './lib/traffic/traffic.svelte';
import { FakeBackend, settle } from './testing/fake-backend';
import { at, host, instance, NOW, service, status } from './testing/fixtures';
import type { Service } from './lib/types';

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  clock.real = NOW;
  clock.frozen = null;
  location.hash = '#/overview';
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

function context(backend = new FakeBackend()): {
  app: Context;
  map: Map<string, Context>;
  backend: FakeBackend;
} {
  const cockpit = new Cockpit(backend);
  const app = {
    cockpit,
    actions: new Actions(cockpit),
    overlay: new Overlay(),
    traffic: new Traffic(cockpit),
  };
  return { app, map: new Map([[APP, app]]), backend };
}

function card(over: Partial<Service>): { text: string; app: Context; backend: FakeBackend } {
  const { app, map, backend } = context();
  const it = service(over);
  app.cockpit.services = [it];
  render(ServiceCard, { props: { service: it }, context: map });
  return { text: (document.body.textContent ?? '').replace(/\s+/g, ' '), app, backend };
}

describe('Events', () => {
  const started = (seq: number, ago: number) =>
    ({
      seq,
      at: at(-ago),
      type: 'instance_started',
      service: 'api',
      instance: 0,
      pid: seq,
      adopted: false,
    }) as const;

  it('name their day where it is not that of the one above', () => {
    const events = [
      started(4, 60_000),
      started(3, 86_400_000),
      started(2, 86_460_000),
      started(1, 10 * 86_400_000),
    ];
    const { container } = render(EventList, { props: { events, empty: 'nothing' } });
    const lines = [...container.querySelectorAll('li')].map((line) => (line.textContent ?? '').trim());
    expect(lines).toHaveLength(6);
    expect(lines[0]).toContain('pid 4');
    expect(lines[1]).toBe('Yesterday');
    expect(lines[4]).toMatch(/^\d+ [A-Z][a-z]{2}$/);
  });
});

describe('Detect', () => {
  it.each([
    [false, 'it is applied by itself', 'ends the demo'],
    [true, 'quit Studio Cockpit and open it again', 'applied by itself'],
  ])('says how the file comes into force (demo: %s)', async (demo, said, unsaid) => {
    const { app, map, backend } = context();
    app.cockpit.status = status({ engine: { ...status().engine, demo } });
    backend.on('GET /api/detect', { found: [], toml: '', path: '/data/cockpit.toml' });
    render(Detect, { context: map });
    await settle();
    const text = (document.body.textContent ?? '').replace(/\s+/g, ' ');
    expect(text).toContain(said);
    expect(text).not.toContain(unsaid);
  });
});

describe('ServiceCard', () => {
  it('says all there is of a ready service', () => {
    const { text } = card({});
    for (const part of [
      'api',
      'Ready',
      '1 h 00 m',
      ':3000',
      'Node.js 20.19.4',
      '7.9 ms',
      '2.4 %',
      '180 MiB',
      '4711',
    ]) {
      expect(text).toContain(part);
    }
    expect(screen.getByRole('button', { name: 'Restart api' })).toBeTruthy();
  });

  it('says why a failing one fails, what comes next and how it ended', () => {
    const { text } = card({
      state: 'crash_looping',
      cause: 'exited with 1 five times in 60 s',
      instances: [
        instance({
          state: 'crash_looping',
          pid: null,
          cpu_percent: null,
          memory_bytes: null,
          next_attempt_at: at(21_000),
          last_exit: { code: 1, signal: null, at: at(-9_000), last_lines: [] },
        }),
      ],
    });
    for (const part of [
      'Crash looping',
      'Exited with 1 five times',
      'Next attempt in 21 s',
      'exit code 1, 9 s ago',
    ]) {
      expect(text).toContain(part);
    }
    expect(text).toContain('CPU –');
  });

  it('never shows the unknown as zero', () => {
    const { text } = card({
      probe: null,
      instances: [instance({ cpu_percent: null, memory_bytes: null, pid: null })],
    });
    expect(text).toMatch(/P95 – CPU – Memory – PID –/);
  });

  it('names the owner of what is not ours and asks before taking over', async () => {
    const { text, app, backend } = card({
      owner: 'ollama-app',
      owner_detail: 'Ollama.app (pid 812)',
      actions: ['take_over'],
    });
    expect(text).toContain('run by Ollama.app');
    await fireEvent.click(screen.getByRole('button', { name: /Take Over/ }));
    expect(app.actions.question?.body[0]).toContain('Ollama.app (pid 812)');
    expect(backend.requests).toEqual([]);
  });

  it('offers Start for a stopped one', async () => {
    const { text, backend } = card({
      state: 'stopped',
      manual_stop: true,
      actions: ['start'],
      instances: [],
    });
    expect(text).toContain('stopped by hand');
    await fireEvent.click(screen.getByRole('button', { name: 'Start api' }));
    expect(backend.requests).toMatchObject([{ method: 'POST', path: '/api/services/api/start' }]);
  });

  it('takes no orders while the engine does not answer', async () => {
    const { app } = card({});
    app.cockpit.lostSince = NOW;
    await settle();
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Restart api' }).disabled).toBe(true);
  });
});

describe('Banners', () => {
  const shown = (prepare: (c: Cockpit, b: FakeBackend) => void): string => {
    const made = context();
    prepare(made.app.cockpit, made.backend);
    render(Banners, { context: made.map });
    return (document.body.textContent ?? '').replace(/\s+/g, ' ').trim();
  };

  it('is silent when there is nothing to say', () => {
    expect(shown((c) => (c.status = status()))).toBe('');
  });

  it('leads from the demo to what runs here', async () => {
    const made = context();
    made.app.cockpit.status = status({ engine: { ...status().engine, demo: true } });
    render(Banners, { context: made.map });
    await fireEvent.click(screen.getByRole('button', { name: 'See what was found on this machine' }));
    expect(made.app.overlay.open).toBe('detect');
  });

  it('shows each mistake of the configuration with its place, text and suggestion', () => {
    const text = shown((c) => {
      const error = {
        file: 'cockpit.toml',
        line: 14,
        column: 3,
        message: 'unknown key',
        text: 'depnds_on',
        suggestion: 'did you mean `depends_on`?',
      };
      c.status = status({ config: { state: 'invalid', errors: [error], warnings: [] } });
    });
    for (const part of [
      '1 mistake',
      'cockpit.toml:14:3',
      'unknown key',
      'depnds_on',
      'did you mean depends_on?',
    ]) {
      expect(text).toContain(part);
    }
  });

  it('says what of the cockpit itself does not work, and that the services do', () => {
    const trouble = ['telemetry.db is not in use: it was written by a newer version; move the file away'];
    const text = shown((c) => {
      c.status = status({ engine: { ...status().engine, trouble } });
    });
    expect(text).toContain('The services are kept up all the same.');
    expect(text).toContain(trouble[0]);
    cleanup();
    expect(shown((c) => (c.status = status({ engine: { ...status().engine, trouble: [] } })))).toBe('');
  });

  it('says since when the engine does not answer, but not for a blink', () => {
    const lost = (ms: number) => (c: Cockpit) => {
      c.loaded = true;
      c.lostSince = NOW - ms;
    };
    expect(shown(lost(500))).toBe('');
    cleanup();
    expect(shown(lost(12_000))).toMatch(/The engine is not answering since \d\d:\d\d:\d\d \(12 s\)/);
  });

  it('offers the upgrade of an older engine only in the window', async () => {
    let upgraded = 0;
    const made = context();
    made.backend.kind = 'window';
    made.backend.shell = {
      info: async () => ({ version: '0.2.0' }),
      quit: async () => undefined,
      upgradeEngine: async () => {
        upgraded += 1;
      },
    };
    made.app.cockpit.status = status();
    render(Banners, { context: made.map });
    await settle();
    await fireEvent.click(screen.getByRole('button', { name: 'Upgrade Engine' }));
    expect(upgraded).toBe(1);
  });
});

describe('the whole page', () => {
  const engine = (): FakeBackend =>
    new FakeBackend()
      .on('GET /api/status', status({ summary: 'api is ready' }))
      .on('GET /api/services', [service()])
      .on('GET /api/events', [])
      .on('GET /api/host', { ...host(), series: EMPTY_SERIES });

  it('asks for the token, says what prints a link, and refuses a wrong one', async () => {
    const backend = engine().on('GET /api/status', { code: 'unauthorized', title: 'no' }, 401);
    render(App, { props: { backend } });
    await settle();
    await vi.advanceTimersByTimeAsync(10);
    expect(document.body.textContent).toContain('studio-cockpit open --print-url');

    const field = screen.getByLabelText(/paste the token/);
    await fireEvent.input(field, { target: { value: 'wrong' } });
    await fireEvent.click(screen.getByRole('button', { name: 'Sign In' }));
    await settle();
    expect(screen.getByRole('alert').textContent).toContain('does not know this token');

    backend.on('GET /api/status', status({ summary: 'api is ready' }));
    await fireEvent.input(field, { target: { value: 'right' } });
    await fireEvent.click(screen.getByRole('button', { name: 'Sign In' }));
    await settle();
    await vi.advanceTimersByTimeAsync(10);
    expect(backend.token).toBe('right');
    expect(screen.getByRole('heading', { level: 1 }).textContent).toBe('api is ready');
  });

  it('keeps what it knew, as of when it knew it, while the engine is gone', async () => {
    const backend = engine();
    render(App, { props: { backend } });
    await settle();
    await vi.advanceTimersByTimeAsync(10);
    backend.failures = Array.from({ length: 50 }, () => new Unreachable('refused'));
    backend.stream.queue.end();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(screen.getByRole('alert').textContent).toContain('The engine is not answering');
    expect(screen.getByRole('article').textContent).toMatch(/Ready\s+1 h 00 m/);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(screen.getByRole('article').textContent).toMatch(/Ready\s+1 h 00 m/);
    expect(screen.getByRole('alert').textContent).toMatch(/\(2 m \d\d s\)/);
  });

  it('opens the palette by key, runs what Enter is on, and closes by Esc', async () => {
    const backend = engine().on('POST /api/services/api/restart', service());
    render(App, { props: { backend } });
    await settle();
    await vi.advanceTimersByTimeAsync(10);
    const key = (init: KeyboardEventInit) => fireEvent.keyDown(document.body, init);
    await key({ key: 'k', ctrlKey: true });
    const field = screen.getByRole('combobox', { name: /Find a service/ });
    await fireEvent.input(field, { target: { value: 'restart' } });
    await fireEvent.keyDown(field, { key: 'Enter' });
    await settle();
    expect(backend.requests.some((r) => r.method === 'POST' && r.path === '/api/services/api/restart')).toBe(
      true,
    );
    expect(screen.queryByRole('combobox', { name: /Find a service/ })).toBeNull();
    await key({ key: '?' });
    expect(document.body.textContent).toContain('Keyboard shortcuts');
    await key({ key: 'Escape' });
    expect(screen.queryByRole('heading', { name: 'Keyboard shortcuts' })).toBeNull();
  });

  it('goes to a service and its history by the address', async () => {
    const exit = { code: 1, signal: null, at: at(-9_000), last_lines: ['\x1b[31mfatal\x1b[0m: no database'] };
    const backend = engine().on('GET /api/events', [
      {
        seq: 4,
        at: at(-9_000),
        type: 'instance_exit',
        service: 'api',
        instance: 0,
        pid: 9,
        exit,
        expected: false,
      },
    ]);
    location.hash = '#/services/api/history';
    render(App, { props: { backend } });
    await settle();
    await vi.advanceTimersByTimeAsync(10);
    expect(screen.getByRole('tab', { name: 'History' }).getAttribute('aria-selected')).toBe('true');
    expect(document.querySelector('details pre')?.textContent).toBe('fatal: no database');
  });
});

describe('the log', () => {
  it('sets the cockpit’s own remarks apart from what the program wrote, also for a screen reader', async () => {
    const backend = new FakeBackend()
      .on('GET /api/status', status())
      .on('GET /api/services', [service()])
      .on('GET /api/events', [])
      .on('GET /api/host', { ...host(), series: EMPTY_SERIES });
    location.hash = '#/services/api/log';
    render(App, { props: { backend } });
    await settle();
    await vi.advanceTimersByTimeAsync(10);
    expect(backend.stream.path).toContain('/logs?');
    const line = (stream: string, text: string, ms: number) =>
      backend.stream.queue.push({
        event: 'line',
        id: null,
        data: JSON.stringify({ at: at(ms), instance: 0, stream, text }),
      });
    line('stdout', 'listening', -2_000);
    line('cockpit', 'ended by SIGKILL; starting again', -1_000);
    await settle();
    await vi.advanceTimersByTimeAsync(150);
    const rows = [...document.querySelectorAll('[role=log] .row')];
    expect(rows.map((r) => r.classList.contains('cockpit'))).toEqual([false, true]);
    expect(rows[0]?.textContent).not.toContain('stdout');
    expect(rows[1]?.textContent).toMatch(/cockpit:\s*ended by SIGKILL; starting again/);
  });
});

describe('LogText', () => {
  it('marks what is searched for across colours and never makes markup of it', () => {
    render(LogText, { props: { text: 'a \x1b[31mer\x1b[0mror <b>x</b>', query: 'error' } });
    expect([...document.querySelectorAll('mark')].map((m) => m.textContent)).toEqual(['er', 'ror']);
    expect(document.querySelector('b')).toBeNull();
    expect(document.body.textContent).toContain('<b>x</b>');
  });
});
