import { cleanup, fireEvent, render, screen } from '@testing-library/svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import App from './App.svelte';
import { EMPTY_SERIES } from './lib/state/host-series';
import { clock } from './lib/state/clock.svelte';
import type { Gateway, Usage } from './lib/types';
import { FakeBackend, settle } from './testing/fake-backend';
import {
  at,
  breaker,
  call,
  gateway,
  group,
  host,
  NOW,
  point,
  service,
  status,
  totals,
  usage,
} from './testing/fixtures';

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  clock.real = NOW;
  clock.frozen = null;
  location.hash = '#/traffic?window=1h';
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

const MS = { p50: 620, p95: 1_840, p99: 4_100, exact: true };
const sums = totals({
  calls: 1_284,
  errors: 12,
  cancelled: 3,
  input_tokens: 4_100_000,
  cached_input_tokens: 1_025_000,
  output_tokens: 700_000,
  cost_usd: 3.42,
  unpriced_calls: 2,
  latency_ms: MS,
  output_tokens_per_second: 46.2,
});
const minute = { ...sums, calls: 12 };

function busy(): Usage {
  return usage({
    totals: sums,
    series: [point(0, minute), point(1)],
    security: { failed_authentications: 4, unusual_access: 0, pii_detections: 1, policy_violations: 0 },
    groups: [
      group('openai/gpt-4o', sums, [point(0, minute), point(1)]),
      group('ollama/llama3.2', { calls: 4, cost_usd: null, unpriced_calls: 4 }, [point(0), point(1)]),
    ],
  });
}

function engine(): FakeBackend {
  return new FakeBackend()
    .on('GET /api/status', status())
    .on('GET /api/services', [service()])
    .on('GET /api/events', [])
    .on('GET /api/host', { ...host(), series: EMPTY_SERIES })
    .on('GET /api/usage', busy())
    .on('GET /api/calls', {
      calls: [
        call(),
        call({ id: 'bad', outcome: 'error', error: 'provider_stream_cut', user: 'grace', cost_usd: null }),
      ],
    })
    .on('GET /api/breakers', [
      breaker({ state: 'open', retry_at: at(21_000) }),
      breaker({ provider: 'ollama', model: 'llama3.2', calls: 3, failed: 0 }),
    ])
    .on('GET /api/gateway', gateway());
}

async function show(backend: FakeBackend): Promise<() => string> {
  render(App, { props: { backend } });
  await settle();
  await vi.advanceTimersByTimeAsync(10);
  await settle();
  return () => (document.body.textContent ?? '').replace(/\s+/g, ' ');
}

const paths = (backend: FakeBackend, of: string) =>
  backend.requests.map((r) => r.path).filter((path) => path.startsWith(of));

describe('the overview', () => {
  it('says that not all of today is recorded', async () => {
    location.hash = '#/overview';
    const backend = engine();
    const text = await show(backend);
    expect(text()).toContain('AI traffic today');
    expect(text()).not.toContain('Not recorded');
    cleanup();
    const interruptions = [{ from: at(-3_580_000), to: at(-3_560_000) }];
    const missing = await show(engine().on('GET /api/usage', { ...busy(), interruptions }));
    expect(missing()).toMatch(
      /AI traffic today Not recorded \d\d:00:20–\d\d:00:40: the cockpit ended abruptly/,
    );
  });
});

describe('the traffic screen', () => {
  it('says in one sentence and in figures what there was', async () => {
    const text = await show(engine());
    expect(screen.getByRole('heading', { level: 1 }).textContent).toBe(
      '1,284 requests in the last hour cost $3.42, 12 failed',
    );
    for (const part of [
      'Off target',
      'openai/gpt-4o is left alone',
      '2 unpriced',
      '0.9 %',
      '12 failed, 3 cancelled',
      '1.84 s',
      'half within 620 ms',
      'nothing streamed',
      '25 % cached',
      '46 a second',
      'of successes, exact',
      '4 not let in',
      '1 of personal data in prompts',
    ]) {
      expect(text()).toContain(part);
    }
  });

  it('shows what has no price as unpriced, in every table', async () => {
    await show(engine());
    const mix = screen.getByRole('group', { name: 'Model mix' });
    expect(mix.textContent).toMatch(/ollama\/llama3\.2\s*unpriced/);
    const calls = screen.getByRole('group', { name: /^Calls/ });
    expect(calls.querySelector('[data-call=bad]')?.textContent).toContain('unpriced');
  });

  it('goes from a model to its calls, and back without the filter', async () => {
    const backend = engine();
    await show(backend);
    await fireEvent.click(screen.getByRole('button', { name: /^openai\/gpt-4o \$3\.42/ }));
    await settle();
    expect(location.hash).toContain('model=openai%2Fgpt-4o');
    expect(paths(backend, '/api/calls').at(-1)).toContain('&model=openai%2Fgpt-4o');
    await fireEvent.click(screen.getByRole('button', { name: /model openai\/gpt-4o/ }));
    await settle();
    expect(paths(backend, '/api/calls').at(-1)).not.toContain('model=');
  });

  it('goes from a step of a chart to the calls of that time, by keys alone', async () => {
    const backend = engine();
    await show(backend);
    const chart = screen.getByRole('group', { name: /^Requests; arrow keys/ });
    await fireEvent.keyDown(chart, { key: 'Home' });
    expect(screen.getByText(/^\d\d:\d\d–\d\d:\d\d: Failed/).textContent).toContain('Failed 12');
    await fireEvent.keyDown(chart, { key: 'Enter' });
    await settle();
    expect(paths(backend, '/api/calls').at(-1)).toContain(
      `window=60000ms&until=${new Date(NOW - 3_540_000).toISOString()}`,
    );
  });

  it('says what is not recorded: above the charts, at the crosshair and in the tables', async () => {
    const interruptions = [{ from: at(-3_580_000), to: at(-3_560_000) }];
    const text = await show(engine().on('GET /api/usage', { ...busy(), interruptions }));
    expect(text()).toMatch(
      /Not recorded \d\d:00:20–\d\d:00:40: the cockpit ended abruptly\. Some requests may be missing\./,
    );
    const chart = screen.getByRole('group', { name: /^Requests; arrow keys/ });
    const spoken = (): string => screen.getByText(/^\d\d:\d\d–\d\d:\d\d: Failed/).textContent;
    await fireEvent.keyDown(chart, { key: 'Home' });
    expect(spoken()).toContain('; partly not recorded: the cockpit ended abruptly');
    await fireEvent.keyDown(chart, { key: 'ArrowRight' });
    expect(spoken()).not.toContain('recorded');
    await fireEvent.click(screen.getByRole('button', { name: 'Requests: table and files' }));
    await settle();
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Show as Table' }));
    const rows = screen.getByRole('group', { name: 'Requests, as a table' }).querySelectorAll('tbody tr');
    expect([...rows].map((row) => /not recorded/.test(row.textContent))).toEqual([false, true]);
  });

  it('says nothing of that where all is recorded', async () => {
    const text = await show(engine());
    expect(text()).not.toMatch(/not recorded/i);
  });

  it('tells everything of a call, and gives it to copy', async () => {
    const text = await show(engine());
    const link = document.querySelector<HTMLElement>('[data-call=bad] a');
    await fireEvent.click(link ?? document.body);
    const detail = screen.getByRole('complementary', { name: 'Call bad' });
    for (const part of [
      'Stream cut',
      'Provider’s side',
      'provider_stream_cut',
      'grace',
      'unpriced',
      'night',
    ]) {
      expect(detail.textContent).toContain(part);
    }
    expect(detail.textContent).toMatch(/Input\s*1,200/);
    await fireEvent.keyDown(link ?? document.body, { key: 'Escape' });
    expect(screen.queryByRole('complementary')).toBeNull();
    expect(text()).toContain('Single calls');
  });

  it('searches what is listed', async () => {
    await show(engine());
    const field = screen.getByRole('searchbox', { name: /Search the calls/ });
    await fireEvent.input(field, { target: { value: 'GRACE stream' } });
    expect(document.querySelectorAll('[data-call]')).toHaveLength(1);
    await fireEvent.input(field, { target: { value: 'nobody' } });
    expect(screen.getByText('No call is like this.')).toBeTruthy();
  });

  it('resets a breaker after saying what that does', async () => {
    const backend = engine();
    await show(backend);
    await fireEvent.click(screen.getByRole('button', { name: 'Reset… openai/gpt-4o' }));
    const question = screen.getByRole('dialog', { name: 'Ask openai/gpt-4o again?' });
    expect(question.textContent).toContain('in 21 seconds');
    backend.on('POST /api/breakers/openai/gpt-4o/reset', [breaker()]);
    await fireEvent.click(screen.getByRole('button', { name: 'Reset' }));
    await settle();
    expect(backend.requests.at(-1)?.method).toBe('POST');
    expect(screen.queryByRole('button', { name: /^Reset/ })).toBeNull();
  });

  it('says who serves a route while its first target is left alone', async () => {
    const text = await show(engine());
    expect(text().slice(text().indexOf('Routes chat'))).toMatch(
      /openai\/gpt-4o, left alone now→ ollama\/llama3\.2, asked first now falls back/,
    );
  });

  it('says which provider fails, why, and passes over one that is not asked', async () => {
    const of = gateway();
    const providers = of.providers.map((one) => ({
      ...one,
      name: 'ollama',
      state: 'down' as const,
      cause: 'its service `ollama` is down',
    }));
    const text = await show(engine().on('GET /api/gateway', { ...of, providers }));
    expect(text()).toMatch(/ollama is not asked Its service ollama is down/);
    expect(text()).toContain('nobody is left to answer');
  });

  it('shows a chart as a table, and hands out its figures and pictures', async () => {
    const backend = engine();
    await show(backend);
    const choose = async (item: string) => {
      await fireEvent.click(screen.getByRole('button', { name: 'Latency: table and files' }));
      await settle();
      await fireEvent.click(screen.getByRole('menuitem', { name: item }));
    };
    await choose('Show as Table');
    const table = screen.getByRole('group', { name: 'Latency, as a table' });
    expect(table.textContent).toMatch(/620 ms\s*1\.84 s\s*4\.10 s/);
    await choose('Save CSV');
    await choose('Save PNG');
    expect(backend.handed).toMatchObject([
      { name: 'latency.csv', text: expect.stringContaining('P50 (ms),P95 (ms),P99 (ms)') },
      { name: 'latency-1h.png', path: '/charts/latency', query: 'window=1h' },
    ]);
  });

  it.each<[string, Partial<Gateway>, string[]]>([
    [
      'is configured',
      { listen: null, open: false },
      ['No gateway is configured', '[gateway]', '/data/cockpit.toml'],
    ],
    [
      'can open',
      { open: false, cause: 'somebody has the port of the gateway' },
      ['The gateway is not open', 'somebody has the port of the gateway'],
    ],
    ['was asked', {}, ['The gateway is open, and waits', 'http://127.0.0.1:11435/v1', '"model":"chat"']],
  ])('says what to do while no gateway %s', async (_, of, parts) => {
    const backend = engine()
      .on('GET /api/usage', usage())
      .on('GET /api/calls', { calls: [] })
      .on('GET /api/breakers', [])
      .on('GET /api/gateway', gateway(of));
    const text = await show(backend);
    for (const part of parts) expect(text().replace(/Somebody/g, 'somebody')).toContain(part);
  });

  it('says so when the engine is older', async () => {
    const backend = engine();
    for (const path of ['usage', 'calls', 'breakers', 'gateway']) backend.answers.delete(`GET /api/${path}`);
    const text = await show(backend);
    expect(text()).toContain('This engine is older than this screen');
  });

  it('is there by its key, the palette and the sidebar', async () => {
    location.hash = '#/overview';
    await show(engine());
    await fireEvent.keyDown(document.body, { key: '3' });
    expect(location.hash).toContain('#/traffic');
    expect(screen.getByRole('link', { name: /AI traffic/, current: 'page' })).toBeTruthy();
  });
});

describe('the overview', () => {
  it('has today’s figures where there is a gateway, and nothing of it where there is none', async () => {
    location.hash = '#/overview';
    const text = await show(engine());
    const region = screen.getByRole('region', { name: 'AI traffic today' });
    for (const part of ['$3.42', '2 unpriced', '1,284', '1.84 s', '0.9 %', '46']) {
      expect(region.textContent).toContain(part);
    }
    cleanup();
    await show(engine().on('GET /api/gateway', gateway({ listen: null })));
    expect(screen.queryByRole('region', { name: 'AI traffic today' })).toBeNull();
    expect(text()).toContain('Machine');
  });

  it('says what the month will cost once something is spent, and never that it will be nothing', async () => {
    location.hash = '#/overview';
    const days = 86_400_000;
    const month = (cost_usd: number) =>
      usage({
        window: { from: at(-7 * days), to: at(0), step_s: 21_600 },
        totals: totals({ calls: 40, cost_usd }),
        series: [{ ...point(0, { calls: 40, cost_usd }), at: at(-5 * days) }],
      });
    const region = () => screen.getByRole('region', { name: 'AI traffic today' }).textContent;
    await show(engine().on('GET /api/usage', month(7)));
    expect(region()).toMatch(/This month\s*\$7\.00\s*about \$\d+ by its end/);
    cleanup();
    await show(engine().on('GET /api/usage', month(0)));
    expect(region()).toMatch(/This month\s*\$0\s*Requests/);
  });
});
