import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { FakeBackend, settle } from '../../testing/fake-backend';
import { at, breaker, call, gateway, NOW, point, totals, usage } from '../../testing/fixtures';
import type { Answer } from '../backend';
import { Cockpit } from '../state/cockpit.svelte';
import { fits, Traffic } from './traffic.svelte';
import type { View, WindowName } from './view';

beforeEach(() => void vi.useFakeTimers({ now: NOW }));
afterEach(() => void vi.useRealTimers());

const view = (over: Partial<View> = {}): View => ({ window: '1h', zoom: null, filter: {}, ...over });

const little = usage({ totals: totals({ calls: 1 }), series: [point(30, { calls: 1 })] });

function setup(start = view(), recorded = little) {
  const backend = new FakeBackend()
    .on('GET /api/usage', recorded)
    .on('GET /api/calls', { calls: [call({ id: 'a' })] })
    .on('GET /api/breakers', [breaker({ state: 'open' })])
    .on('GET /api/gateway', gateway())
    .on('GET /api/events', []);
  const cockpit = new Cockpit(backend);
  const traffic = new Traffic(cockpit);
  const fitted: WindowName[] = [];
  const stop = traffic.start(start, (window) => fitted.push(window));
  const paths = (of: string) => backend.requests.map((r) => r.path).filter((path) => path.startsWith(of));
  const ended = (...newest: ReturnType<typeof call>[]) =>
    cockpit.apply({ seq: 1, at: at(0), type: 'calls', ended: newest.length, newest });
  return { backend, cockpit, traffic, stop, paths, ended, fitted };
}

describe('the window nobody chose', () => {
  it('is found before anything else is asked for, and then asked for', async () => {
    const { traffic, paths, fitted } = setup(view({ window: '24h', fitted: true }));
    expect(paths('/api/calls')).toEqual([]);
    await settle();
    const until = encodeURIComponent(at(0)).replaceAll('%3A', ':');
    expect(paths('/api/usage').slice(0, 2)).toEqual([
      `/api/usage?window=24h&until=${until}&step=900s`,
      `/api/usage?window=30d&until=${until}&step=86400s`,
    ]);
    expect(fitted).toEqual(['1h']);
    expect(paths('/api/usage').slice(2)).toEqual(
      ['model', 'error', 'user'].map((by) => `/api/usage?window=1h&step=60s&group_by=${by}`),
    );
    expect(paths('/api/calls')).toEqual(['/api/calls?window=1h&limit=100']);
    expect(traffic.shown.window).toBe('1h');
  });

  it('is looked for until there is something to suit', async () => {
    const { backend, fitted, ended } = setup(view({ window: '24h', fitted: true }), usage());
    await settle();
    expect(fitted).toEqual([]);
    backend.on('GET /api/usage', little);
    ended(call({ id: 'first' }));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(fitted).toEqual(['1h']);
  });

  it('gives way to one that a person chooses meanwhile', async () => {
    const { traffic, fitted, paths } = setup(view({ window: '24h', fitted: true }));
    traffic.look(view({ window: '7d' }));
    await settle();
    expect(fitted).toEqual([]);
    expect(traffic.shown.window).toBe('7d');
    expect(paths('/api/calls').at(-1)).toContain('window=7d');
  });
});

describe('the figures', () => {
  it('are asked for by model, by error and by what is chosen, in as many steps as can be seen', async () => {
    const { traffic, paths, cockpit } = setup();
    await settle();
    expect(paths('/api/usage')).toEqual(
      ['model', 'error', 'user'].map((by) => `/api/usage?window=1h&step=60s&group_by=${by}`),
    );
    expect(traffic.models?.totals.calls).toBe(1);
    expect(cockpit.gateway?.open).toBe(true);
    traffic.groupBy('agent');
    await settle();
    expect(paths('/api/usage').at(-1)).toContain('group_by=agent');
  });

  it('are asked for again soon after calls ended, seldom otherwise, and not once the screen is left', async () => {
    const { stop, paths, ended } = setup();
    await settle();
    for (let second = 0; second < 12; second += 1) {
      ended(call({ id: `live-${second}` }));
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(paths('/api/usage').length / 3).toBe(4);
    stop();
    ended(call({ id: 'late' }));
    await vi.advanceTimersByTimeAsync(120_000);
    expect(paths('/api/usage').length / 3).toBe(4);
  });

  it('of an older question never replace those of a newer one', async () => {
    const { backend, traffic } = setup();
    await settle();
    const late: ((answer: Answer) => void)[] = [];
    backend.answers.set('GET /api/usage', () => new Promise<Answer>((done) => late.push(done)));
    traffic.look(view({ window: '7d' }));
    await settle();
    expect(traffic.models?.totals.calls).toBe(1);
    backend.on('GET /api/usage', usage({ totals: totals({ calls: 30 }) }));
    traffic.look(view({ window: '30d' }));
    await settle();
    expect(traffic.models?.totals.calls).toBe(30);
    for (const answer of late) answer({ status: 200, body: usage({ totals: totals({ calls: 7 }) }) });
    await settle();
    expect(traffic.models?.totals.calls).toBe(30);
  });

  it('say when the engine is too old, and why they cannot be read', async () => {
    const { backend, traffic } = setup();
    await settle();
    backend.on('GET /api/usage', { code: 'storage', title: 'the ledger cannot be read' }, 500);
    traffic.again();
    await settle();
    expect(traffic.trouble?.code).toBe('storage');
    // What was known stays.
    expect(traffic.models?.totals.calls).toBe(1);
    backend.on('GET /api/usage', { code: 'not_found', title: 'no such path' }, 404);
    traffic.again();
    await settle();
    expect(traffic.older).toBe(true);
  });

  it('are not asked of an engine that does not answer', async () => {
    const { traffic, cockpit, paths } = setup();
    await settle();
    cockpit.lostSince = NOW;
    traffic.look(view({ window: '24h' }));
    await settle();
    expect(paths('/api/usage')).toHaveLength(3);
  });
});

describe('the single calls', () => {
  const ids = (traffic: Traffic) => traffic.calls?.map((one) => one.id);

  it('come live, newest first, none twice, and only those that are looked at', async () => {
    const { traffic, ended } = setup(view({ filter: { user: 'ada' } }));
    await settle();
    ended(call({ id: 'c', at: at(900) }), call({ id: 'b', at: at(500) }));
    ended(call({ id: 'c', at: at(900) }), call({ id: 'x', at: at(900), user: 'bob' }));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids(traffic)).toEqual(['c', 'b', 'a']);
  });

  it('wait while a person is at the list, counted', async () => {
    const { traffic, ended } = setup();
    await settle();
    traffic.hold(true);
    ended(call({ id: 'b', at: at(500) }));
    await vi.advanceTimersByTimeAsync(5_000);
    expect([ids(traffic), traffic.held]).toEqual([['a'], 1]);
    traffic.hold(false);
    expect([ids(traffic), traffic.held]).toEqual([['b', 'a'], 0]);
  });

  it('of a past stretch stay as they are', async () => {
    const { traffic, ended } = setup(view({ zoom: { from: NOW - 600_000, to: NOW - 60_000 } }));
    await settle();
    ended(call({ id: 'b' }));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(ids(traffic)).toEqual(['a']);
  });

  it('are bounded, however many come', async () => {
    const { traffic, ended } = setup();
    await settle();
    traffic.hold(true);
    for (let i = 0; i < 40; i += 1) {
      ended(...Array.from({ length: 50 }, (_, n) => call({ id: `${i}-${n}`, at: at(i * 1_000 + n) })));
    }
    expect(traffic.held).toBe(500);
    traffic.hold(false);
    expect(traffic.calls).toHaveLength(100);
    expect(traffic.calls?.[0]?.id).toBe('39-49');
  });

  it('are filtered here as the engine filters them', () => {
    expect(fits(call(), { model: 'gpt-4o' })).toBe(true);
    expect(fits(call(), { model: 'openai/gpt-4o' })).toBe(true);
    expect(fits(call(), { model: 'gpt-4' })).toBe(false);
    expect(fits(call({ agent: null }), { agent: 'x' })).toBe(false);
    expect(fits(call(), { outcome: 'error' })).toBe(false);
  });
});

describe('a breaker', () => {
  it('is asked for when it changes, and reset by its whole name', async () => {
    const { backend, cockpit, traffic } = setup();
    await settle();
    backend.on('GET /api/breakers', []);
    cockpit.apply({
      seq: 2,
      at: at(0),
      type: 'breaker',
      provider: 'openai',
      model: 'gpt-4o',
      from: 'open',
      to: 'closed',
      cause: '',
    });
    await settle();
    expect(traffic.breakers).toEqual([]);
    const path = '/api/breakers/vllm/hf.co%2Fme%2Fm%3Aq4/reset';
    backend.on(`POST ${path}`, [breaker()]);
    await traffic.reset(breaker({ provider: 'vllm', model: 'hf.co/me/m:q4' }));
    expect(backend.requests.at(-1)).toMatchObject({ method: 'POST', path });
    expect(traffic.breakers).toHaveLength(1);
  });
});
