import { describe, expect, it } from 'vitest';

import { at, instance, service } from '../../testing/fixtures';
import type { Event } from '../types';
import { plain, spans } from './ansi';
import { dependencyGraph } from './graph';
import { filterCommands, type Command } from './palette';
import { isOlder } from './version';
import { dependants, eventWords, programName, totals } from './words';

describe('ansi', () => {
  it('keeps the text and names the colours', () => {
    expect(spans('a \x1b[1;31merr\x1b[0m b')).toEqual([
      { text: 'a ', colour: '', bold: false, dim: false },
      { text: 'err', colour: 'c1', bold: true, dim: false },
      { text: ' b', colour: '', bold: false, dim: false },
    ]);
  });

  it('drops every other control', () => {
    const wild =
      '\x1b]8;;http://evil/\x07link\x1b]8;;\x07 \x1b[2K\x1b[1;1Hx\x1b[38;2;1;2;3my\x1b(B\x00\x08z\r';
    expect(plain(wild)).not.toMatch(/[\x00-\x1f]/);
    expect(plain(wild)).toContain('link xy');
    expect(
      spans(wild)
        .map((s) => s.text)
        .join(''),
    ).toBe(plain(wild));
  });

  it('takes markup for text', () => {
    expect(spans('<img src=x onerror=alert(1)>')[0]?.text).toBe('<img src=x onerror=alert(1)>');
  });
});

describe('filterCommands', () => {
  const command = (title: string, words = ''): Command => ({
    id: title,
    title,
    words,
    group: '',
    run: () => undefined,
  });
  const all = [
    command('Overview', 'go to'),
    command('api', 'go to service node.js'),
    command('Restart api'),
    command('Restart supabase'),
    command('Stop api'),
    command('Log of api', 'open logs'),
  ];
  const titles = (query: string): string[] => filterCommands(all, query).map((c) => c.title);

  it('shows everything in order for nothing', () => expect(titles('  ')).toHaveLength(all.length));
  it('finds by the beginnings of words, in any order', () => {
    expect(titles('res api')).toEqual(['Restart api']);
    expect(titles('api res')).toEqual(['Restart api']);
  });
  it('puts the name itself first', () => expect(titles('api')[0]).toBe('api'));
  it('finds by further words and by scattered letters', () => {
    expect(titles('logs')).toEqual(['Log of api']);
    expect(titles('rsupa')).toEqual(['Restart supabase']);
  });
  it('finds nothing for what fits nothing, also for signs of a pattern', () => {
    expect(titles('zzz')).toEqual([]);
    expect(titles('(')).toEqual([]);
    expect(titles('a[')).toEqual([]);
  });
});

describe('dependencyGraph', () => {
  const all = [
    service({ name: 'db' }),
    service({ name: 'llm' }),
    service({ name: 'api', depends_on: ['db', 'llm'] }),
    service({ name: 'web', depends_on: ['api', 'db'] }),
    service({ name: 'lone' }),
  ];

  it('shows what a service needs to its left and what needs it to its right', () => {
    const { nodes, edges } = dependencyGraph('api', all);
    const x = new Map(nodes.map((n) => [n.name, n.x]));
    expect([...x.keys()]).toEqual(['db', 'llm', 'api', 'web']);
    for (const edge of edges) expect(x.get(edge.from)).toBeLessThan(x.get(edge.to) ?? 0);
    expect(edges.map((e) => `${e.from}>${e.to}`)).toEqual(['db>api', 'llm>api', 'api>web', 'db>web']);
  });

  it('is the same each time, alone for the lonely, and ends on a circle', () => {
    expect(dependencyGraph('api', all)).toEqual(dependencyGraph('api', all));
    expect(dependencyGraph('lone', all).nodes).toHaveLength(1);
    const circle = [service({ name: 'a', depends_on: ['b'] }), service({ name: 'b', depends_on: ['a'] })];
    expect(dependencyGraph('a', circle).nodes).toHaveLength(2);
  });
});

describe('words', () => {
  it('name a program once, also where its version does', () => {
    const name = (kind: string, version: string | null) => programName({ kind, version });
    expect(name('node', 'Node 22.12.1, api 1.4.0')).toBe('Node.js 22.12.1, api 1.4.0');
    expect(name('node', '20.19.4')).toBe('Node.js 20.19.4');
    expect(name('ollama', 'ollama 0.12.3')).toBe('Ollama 0.12.3');
    expect(name('command', null)).toBe('Command');
    expect(name('cloudflared', '2025.9.1')).toBe('Cloudflared 2025.9.1');
  });

  it('names dependants through others', () => {
    const all = [
      service({ name: 'db' }),
      service({ name: 'web', depends_on: ['api'] }),
      service({ name: 'api', depends_on: ['db'] }),
    ];
    expect(dependants('db', all)).toEqual(['web', 'api']);
    expect(dependants('web', all)).toEqual([]);
  });

  it('sums what was measured and keeps the unknown unknown', () => {
    expect(
      totals(service({ instances: [instance({ cpu_percent: null, memory_bytes: null })] })),
    ).toMatchObject({
      cpu: null,
      memory: null,
    });
    const two = [
      instance({ cpu_percent: 1 }),
      instance({ index: 1, cpu_percent: null, started_at: at(-1_000), restarts: 2 }),
    ];
    expect(totals(service({ instances: two }))).toMatchObject({ cpu: 1, restarts: 2, startedAt: at(-1_000) });
  });

  it('has words for every event, also one it does not know', () => {
    const base = { seq: 1, at: at(0) };
    const exit = { code: null, signal: 'SIGKILL', at: at(0), last_lines: [] };
    expect(
      eventWords({
        ...base,
        type: 'instance_exit',
        service: 'api',
        instance: 0,
        pid: 9,
        exit,
        expected: false,
      }),
    ).toMatchObject({ service: 'api', text: 'ended by SIGKILL', tone: 'down' });
    const turned = { ...base, type: 'instance_state', service: 'api', instance: 0, from: 'stopped' } as const;
    expect(eventWords({ ...turned, to: 'waiting', cause: 'waiting for db' })).toMatchObject({
      text: 'waiting for db',
      more: '',
    });
    expect(eventWords({ ...turned, to: 'starting', cause: 'asked for' })).toMatchObject({
      text: 'starting',
      more: 'asked for',
    });
    expect(eventWords({ ...base, type: 'mark', mark: 'slept', slept_ms: 61_000 })).toMatchObject({
      service: null,
      text: 'The machine slept for 1 m 01 s',
    });
    expect(
      eventWords({ ...base, type: 'mark', mark: 'deploy', what: 'api', version: '1.4.0' }),
    ).toMatchObject({ text: 'api 1.4.0 was deployed', more: '' });
    expect(eventWords({ ...base, type: 'mark', mark: 'deploy', what: null, version: null }).text).toBe(
      'Something was deployed',
    );
    expect(
      eventWords({ ...base, type: 'reported', kind: 'auth', count: 500, user: 'mallory', said: null }),
    ).toMatchObject({
      tone: 'warn',
      text: 'An application reported a failed sign-in, 500 times',
      more: 'mallory',
    });
    expect(eventWords({ ...base, type: 'comet' } as unknown as Event).text).toBe('comet');
  });
});

describe('isOlder', () => {
  it.each([
    ['0.1.0', '0.2.0', true],
    ['0.10.0', '0.9.9', false],
    ['1.0.0-rc.1', '1.0.0', true],
    ['1.0.0', '1.0.0', false],
    ['1.0.1', '1.0.0', false],
    ['dev', '1.0.0', false],
  ])('%s before %s: %s', (a, b, older) => expect(isOlder(a, b)).toBe(older));
});

describe('words of the gateway', () => {
  const at = '2026-11-23T09:00:00Z';
  it('say of a breaker whether its target is asked', () => {
    const event = {
      seq: 1,
      at,
      type: 'breaker',
      provider: 'openai',
      model: 'gpt-4o',
      cause: 'the probe failed',
    } as const;
    const opened = eventWords({ ...event, from: 'closed', to: 'open' });
    expect(opened).toMatchObject({ tone: 'down', text: 'openai/gpt-4o is left alone for a while' });
    expect(eventWords({ ...event, from: 'open', to: 'closed' }).tone).toBe('ok');
  });
  it('say of a provider whether it answers requests', () => {
    const event = { seq: 1, at, type: 'provider', provider: 'ollama', service: 'ollama' } as const;
    const cause = '`llama3.2`: 5 calls in a row failed: provider_error';
    const failing = eventWords({ ...event, from: 'ready', to: 'degraded', cause });
    expect(failing).toMatchObject({
      tone: 'down',
      text: 'ollama fails requests',
      more: '`llama3.2`: 5 calls in a row failed: provider error',
    });
    const again = eventWords({ ...event, from: 'degraded', to: 'ready', cause: '' });
    expect(again).toMatchObject({ tone: 'ok', text: 'ollama answers requests again' });
  });
  it('tell how much of a budget is spent', () => {
    const budget = eventWords({
      seq: 1,
      at,
      type: 'budget',
      whose: 'this cockpit',
      period: 'month',
      percent: 80,
      spent_usd: 160.5,
      limit_usd: 200,
    });
    expect(budget).toMatchObject({
      tone: 'warn',
      text: '80 % of this month’s budget of this cockpit is spent',
      more: '$160.50 of $200.00',
    });
  });
});
