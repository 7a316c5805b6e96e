import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { FakeBackend, settle } from '../../testing/fake-backend';
import { at, host, instance, NOW, service, status } from '../../testing/fixtures';
import type { Answer } from '../backend';
import { Refused, Unreachable } from '../backend';
import type { Series } from '../types';
import { clock } from './clock.svelte';
import { Cockpit } from './cockpit.svelte';
import { EMPTY_SERIES, extend } from './host-series';

let cockpit: Cockpit | null = null;

beforeEach(() => void vi.useFakeTimers({ now: NOW }));
afterEach(() => {
  cockpit?.stop();
  vi.useRealTimers();
});

function engine(): FakeBackend {
  return new FakeBackend()
    .on('GET /api/status', status())
    .on('GET /api/services', [service({ name: 'db' }), service({ name: 'api' })])
    .on('GET /api/events', [])
    .on('GET /api/host', { ...host(), series: EMPTY_SERIES });
}

async function started(backend: FakeBackend): Promise<Cockpit> {
  cockpit = new Cockpit(backend);
  cockpit.start();
  await settle();
  return cockpit;
}

describe('Cockpit', () => {
  it('loads a snapshot when the stream is open', async () => {
    const c = await started(engine());
    expect(c.loaded).toBe(true);
    expect(c.services.map((s) => s.name)).toEqual(['db', 'api']);
    expect(c.status?.state).toBe('well');
    expect(c.host?.cpu.percent).toBe(12);
  });

  it('shows a change of state at once and figures at most once a second', async () => {
    const backend = engine();
    const c = await started(backend);
    const cpu = (n: number) => service({ name: 'api', instances: [instance({ cpu_percent: n })] });

    backend.send({ type: 'service', service: cpu(50) });
    await settle();
    await vi.advanceTimersByTimeAsync(50);
    expect(c.service('api')?.instances[0]?.cpu_percent).toBe(50);
    backend.send({ type: 'service', service: cpu(60) });
    await vi.advanceTimersByTimeAsync(500);
    expect(c.service('api')?.instances[0]?.cpu_percent).toBe(50);
    backend.send({ type: 'service', service: cpu(70) });
    await vi.advanceTimersByTimeAsync(500);
    expect(c.service('api')?.instances[0]?.cpu_percent).toBe(70);

    backend.send({ type: 'service', service: { ...cpu(80), state: 'degraded', cause: 'probe failed' } });
    await settle();
    expect(c.service('api')).toMatchObject({ state: 'degraded', cause: 'probe failed' });
    // What waited before the change must not come after it.
    await vi.advanceTimersByTimeAsync(2_000);
    expect(c.service('api')?.state).toBe('degraded');
  });

  it('shows what one tick of the engine measured, and the time, in one redraw', async () => {
    const stop = clock.start();
    const backend = engine();
    const c = await started(backend);
    const redraws: [number, number | undefined, number | null | undefined][] = [];
    const root = $effect.root(() => {
      $effect(() => {
        redraws.push([clock.real - NOW, c.host?.cpu.percent, c.service('api')?.instances[0]?.cpu_percent]);
      });
    });
    await vi.advanceTimersByTimeAsync(300);
    redraws.length = 0;
    for (const n of [1, 2, 3]) {
      backend.send({ type: 'host', host: host({ cpu: { ...host().cpu, percent: n } }) });
      await vi.advanceTimersByTimeAsync(7);
      backend.send({ type: 'service', service: service({ instances: [instance({ cpu_percent: n * 10 })] }) });
      // Early once, late once.
      await vi.advanceTimersByTimeAsync(n === 1 ? 960 : 1_020);
    }
    root();
    stop();
    expect(redraws).toEqual([
      [expect.any(Number), 1, 10],
      [expect.any(Number), 2, 20],
      [expect.any(Number), 3, 30],
    ]);
    const seconds = redraws.map(([at]) => at);
    expect(seconds.map((at) => at - (seconds[0] ?? 0))).toEqual([0, 1_000, 2_000]);
  });

  it('does nothing while nobody looks, and then shows what is', async () => {
    const backend = engine();
    const c = await started(backend);
    backend.send({ type: 'host', host: host({ cpu: { ...host().cpu, percent: 77 } }) });
    await settle();
    const hidden = vi.spyOn(document, 'hidden', 'get').mockReturnValue(true);
    document.dispatchEvent(new Event('visibilitychange'));
    expect(vi.getTimerCount()).toBe(0);
    expect(backend.stream.signal.aborted).toBe(true);

    backend.on('GET /api/host', {
      ...host({ cpu: { ...host().cpu, percent: 88 } }),
      series: { step_ms: 6_000, at_ms: [NOW], values: { cpu_percent: [88] } },
    });
    hidden.mockReturnValue(false);
    document.dispatchEvent(new Event('visibilitychange'));
    await settle();
    expect(c.host?.cpu.percent).toBe(88);
    expect(c.series.at_ms).toEqual([NOW]);
    hidden.mockRestore();
  });

  it('moves the charts with each step of their series only', async () => {
    const backend = engine();
    backend.on('GET /api/host', { ...host(), series: { step_ms: 6_000, at_ms: [NOW - 6_000], values: {} } });
    const c = await started(backend);
    let drawn = 0;
    let before = c.series;
    for (let s = 0; s < 30; s += 1) {
      backend.send({ type: 'host', host: host({ at: at(s * 1_000) }) });
      await vi.advanceTimersByTimeAsync(1_000);
      if (c.series !== before) drawn += 1;
      before = c.series;
    }
    expect(drawn).toBe(5);
    expect(c.series.at_ms.at(-1)).toBe(NOW + 24_000);
    expect(c.host?.at).toBe(at(29_000));
  });

  it('takes away a removed service and puts a new one where the configuration has it', async () => {
    const backend = engine();
    const c = await started(backend);
    backend.send({ type: 'service_removed', service: 'db' });
    await settle();
    expect(c.services.map((s) => s.name)).toEqual(['api']);

    backend.on('GET /api/services', [service({ name: 'new' }), service({ name: 'api' })]);
    backend.send({ type: 'service', service: service({ name: 'new' }) });
    await settle();
    expect(c.services.map((s) => s.name)).toEqual(['new', 'api']);
  });

  it('does not let a slow snapshot overwrite what the stream brought meanwhile', async () => {
    const backend = engine();
    const c = await started(backend);
    let answer: (a: Answer) => void = () => undefined;
    backend.answers.set('GET /api/services', () => new Promise<Answer>((resolve) => (answer = resolve)));
    const loading = c.load();
    await settle();
    backend.send({ type: 'service', service: service({ name: 'api', state: 'failing', cause: 'hung' }) });
    await settle();
    answer({ status: 200, body: [service({ name: 'db', state: 'done' }), service({ name: 'api' })] });
    await loading;
    expect(c.service('api')?.state).toBe('failing');
    expect(c.service('db')?.state).toBe('done');
  });

  it('keeps events newest first and once each, marks apart', async () => {
    const backend = engine();
    backend.on('GET /api/events', [
      { seq: 9, at: at(-1), type: 'mark', mark: 'restart', service: 'api' },
      { seq: 8, at: at(-2), type: 'config', ok: true, summary: '' },
    ]);
    const c = await started(backend);
    backend.send({ type: 'config', ok: false, summary: 'x' }, { seq: 10 });
    backend.send({ type: 'config', ok: true, summary: '' }, { seq: 8 });
    backend.send({ type: 'host', host: host() }, { seq: 11 });
    await settle();
    expect(c.events.map((e) => e.seq)).toEqual([10, 9, 8]);
    expect(c.marks).toMatchObject([{ at: at(-1), mark: { mark: 'restart', service: 'api' } }]);
  });

  it('loads anew after a gap', async () => {
    const backend = engine();
    const c = await started(backend);
    backend.on('GET /api/status', status({ state: 'down' }));
    backend.send({ type: 'gap', missed: 40 });
    await settle();
    expect(c.status?.state).toBe('down');
  });

  it('asks what became of the configuration when it hears that it was read again', async () => {
    const backend = engine();
    const c = await started(backend);
    const config = { state: 'invalid' as const, errors: [], warnings: [] };
    backend.on('GET /api/status', status({ config }));
    backend.send({ type: 'config', ok: false, summary: 'cockpit.toml:3:1: unknown key' });
    await settle();
    expect(c.status?.config.state).toBe('invalid');
    expect(c.events).toHaveLength(1);
  });

  it('keeps its data when the engine goes, says since when, and loads when it is back', async () => {
    const backend = engine();
    const c = await started(backend);
    backend.failures = [new Unreachable('refused')];
    backend.stream.queue.end();
    await settle();
    expect(c.lostSince).toBe(NOW);
    expect(c.services).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(600);
    expect(c.lostSince).toBe(NOW);
    backend.on('GET /api/services', [service({ name: 'db' })]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(c.lostSince).toBeNull();
    expect(c.services).toHaveLength(1);
  });

  it('notices an engine that keeps the connection and says nothing', async () => {
    const backend = engine();
    const c = await started(backend);
    await vi.advanceTimersByTimeAsync(7_000);
    expect(c.lostSince).toBeNull();
    await vi.advanceTimersByTimeAsync(4_000);
    expect(c.lostSince).not.toBeNull();
    backend.send({ type: 'host', host: host() });
    await settle();
    expect(c.lostSince).toBeNull();
  });

  it('asks for a token when the engine refuses, and goes on with a good one', async () => {
    const backend = engine();
    backend.failures = [new Refused(401, { code: 'unauthorized', title: 'no' })];
    const c = await started(backend);
    expect(c.signedOut).toBe(true);
    c.signIn('abc');
    await settle();
    expect(backend.token).toBe('abc');
    expect(c.signedOut).toBe(false);
    expect(c.loaded).toBe(true);
  });

  it('works without a history', async () => {
    const backend = engine();
    backend.on('GET /api/events', { code: 'storage', title: 'the database is not readable' }, 500);
    const c = await started(backend);
    expect(c.loaded).toBe(true);
    expect(c.events).toEqual([]);
  });
});

describe('extend', () => {
  const sample = (ms: number, percent: number) => host({ at: at(ms), cpu: { ...host().cpu, percent } });

  it('adds a point a step, replaces within one, and drops what is older than the window', () => {
    let series: Series = {
      step_ms: 6_000,
      at_ms: [NOW - 12_000, NOW - 6_000],
      values: { cpu_percent: [1, 2] },
    };
    for (let i = 1; i <= 12; i += 1) series = extend(series, sample(i * 1_000 - 6_000, 10 + i), [], 13_000);
    const gaps = series.at_ms.slice(1).map((t, i) => t - (series.at_ms[i] ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(9_000);
    expect(series.at_ms.length).toBeLessThanOrEqual(4);
    expect(series.at_ms[0]).toBeGreaterThanOrEqual(NOW + 6_000 - 13_000);
    expect(series.values['cpu_percent']?.at(-1)).toBe(22);
    for (const column of Object.values(series.values)) expect(column).toHaveLength(series.at_ms.length);
  });

  it('fills a service’s past with nothing, and ignores a sample that is not newer', () => {
    const before = extend(EMPTY_SERIES, sample(0, 1), [], 60_000);
    const after = extend(before, sample(1_000, 2), [service()], 60_000);
    expect(after.values['service.api.cpu_percent']).toEqual([null, 2.4]);
    expect(extend(after, sample(1_000, 9), [], 60_000)).toBe(after);
  });
});
