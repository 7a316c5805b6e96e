import { mockIPC, clearMocks } from '@tauri-apps/api/mocks';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { Unreachable } from './backend';
import { insideTauri, TauriBackend, toMessage } from './tauri';

afterEach(() => clearMocks());

describe('TauriBackend', () => {
  it('passes a request through the shell', async () => {
    const calls: unknown[] = [];
    mockIPC((command, args) => {
      calls.push([command, args]);
      return { status: 404, body: '{"code":"unknown_service","title":"no such service"}' };
    });
    expect(insideTauri()).toBe(true);
    const answer = await new TauriBackend().request('POST', '/api/engine/stop', { stop_services: false });
    expect(answer).toEqual({ status: 404, body: { code: 'unknown_service', title: 'no such service' } });
    expect(calls).toEqual([
      ['api', { method: 'POST', path: '/api/engine/stop', body: '{"stop_services":false}' }],
    ]);
  });

  it('quits the application, not the engine', async () => {
    const calls: string[] = [];
    mockIPC((command) => void calls.push(command));
    await new TauriBackend().shell.quit();
    expect(calls).toEqual(['quit']);
  });

  it('copies what a browser would save: figures as they are, a drawing as the engine drew it', async () => {
    const copied: string[] = [];
    vi.stubGlobal('navigator', { clipboard: { writeText: async (text: string) => void copied.push(text) } });
    mockIPC((_, args) => ({ status: 200, body: `<svg>${(args as { path: string }).path}</svg>` }));
    const backend = new TauriBackend();
    await backend.hand({ name: 'a.csv', type: 'text/csv', text: 'a,b' });
    await backend.hand({ name: 'a.svg', type: 'image/svg+xml', path: '/charts/cost', query: 'window=1h' });
    vi.unstubAllGlobals();
    expect(copied).toEqual(['a,b', '<svg>/charts/cost.svg?window=1h</svg>']);
  });

  it('is unreachable when the shell cannot reach the engine', async () => {
    mockIPC(() => {
      throw new Error('connection refused');
    });
    await expect(new TauriBackend().request('GET', '/api/status')).rejects.toBeInstanceOf(Unreachable);
  });

  it('reads a stream from its channel until its end, and unsubscribes when aborted', async () => {
    const calls: string[] = [];
    let channel: { onmessage: (text: string) => void } | undefined;
    mockIPC((command, args) => {
      calls.push(command);
      if (command === 'subscribe') {
        const given = args as { path: string; lastEventId: string | null; channel: typeof channel };
        expect(given.path).toBe('/api/events/stream');
        expect(given.lastEventId).toBe('41');
        channel = given.channel;
        return 7;
      }
      expect(args).toEqual({ id: 7 });
      return null;
    });
    const abort = new AbortController();
    const stream = await new TauriBackend().open('/api/events/stream', '41', abort.signal);
    channel?.onmessage('{"event":"service","id":"42","data":"{}"}');
    channel?.onmessage('{"event":"end"}');
    const got = [];
    for await (const message of stream) got.push(message);
    expect(got).toEqual([{ event: 'service', id: '42', data: '{}' }]);
    abort.abort();
    await Promise.resolve();
    expect(calls).toEqual(['subscribe', 'unsubscribe']);
  });
});

describe('toMessage', () => {
  it('takes data as text or as an object, and a number as id', () => {
    expect(toMessage('{"event":"host","id":3,"data":{"a":1}}')).toEqual({
      event: 'host',
      id: '3',
      data: '{"a":1}',
    });
  });
  it('passes over what is no message', () => {
    expect(toMessage('nonsense')).toBeNull();
    expect(toMessage('{"id":1}')).toBeNull();
  });
});
