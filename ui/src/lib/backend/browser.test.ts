import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Refused, Unreachable } from './backend';
import { BrowserBackend, takeTokenFromFragment } from './browser';

beforeEach(() => sessionStorage.clear());
afterEach(() => vi.unstubAllGlobals());

function body(...pieces: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
}

describe('takeTokenFromFragment', () => {
  const take = (hash: string): { kept: string | null; address: string | null } => {
    let address: string | null = null;
    const location = { hash, pathname: '/', search: '' } as Location;
    const history = {
      replaceState: (_: unknown, __: string, url: string) => {
        address = url;
      },
    } as unknown as History;
    takeTokenFromFragment(location, history, sessionStorage);
    return { kept: sessionStorage.getItem('studio-cockpit.token'), address };
  };

  it('keeps the token for the tab and removes it from the address', () => {
    expect(take('#token=s%2Bcret')).toEqual({ kept: 's+cret', address: '/#/overview' });
  });

  it('goes where the rest of the fragment says', () => {
    expect(take('#token=abc&/services/api/log')).toEqual({ kept: 'abc', address: '/#/services/api/log' });
  });

  it('leaves other fragments alone', () => {
    expect(take('#/services')).toEqual({ kept: null, address: null });
  });
});

describe('BrowserBackend', () => {
  it('sends the token and JSON, and hands back status and body', async () => {
    const fetch = vi.fn(
      async (_path: string, _init: RequestInit) => new Response('{"on":true}', { status: 200 }),
    );
    vi.stubGlobal('fetch', fetch);
    const backend = new BrowserBackend();
    backend.signIn(' abc\n');

    expect(await backend.request('POST', '/api/login', { on: true })).toEqual({
      status: 200,
      body: { on: true },
    });

    const [path, init] = fetch.mock.calls[0] ?? [];
    expect(path).toBe('/api/login');
    expect(init?.body).toBe('{"on":true}');
    expect(new Headers(init?.headers).get('authorization')).toBe('Bearer abc');
    expect(init?.credentials).toBe('omit');
  });

  it('answers an HTTP error and rejects only when nobody answers', async () => {
    const backend = new BrowserBackend();
    vi.stubGlobal('fetch', async () => new Response('nginx says no', { status: 502 }));
    expect(await backend.request('GET', '/api/status')).toEqual({ status: 502, body: 'nginx says no' });
    vi.stubGlobal('fetch', async () => {
      throw new TypeError('Failed to fetch');
    });
    await expect(backend.request('GET', '/api/status')).rejects.toBeInstanceOf(Unreachable);
  });

  it('reads a stream whose bytes are cut within a character, and resumes by id', async () => {
    const bytes = new TextEncoder().encode('id: 5\ndata: grün\n\n');
    const cut = bytes.indexOf(0xc3) + 1;
    const fetch = vi.fn(
      async (_path: string, _init: RequestInit) => new Response(body(bytes.slice(0, cut), bytes.slice(cut))),
    );
    vi.stubGlobal('fetch', fetch);

    const got = [];
    const stream = await new BrowserBackend().open('/api/events/stream', '4', new AbortController().signal);
    for await (const message of stream) got.push(message);

    expect(got).toEqual([{ event: 'message', id: '5', data: 'grün' }]);
    expect(new Headers(fetch.mock.calls[0]?.[1].headers).get('last-event-id')).toBe('4');
  });

  it('refuses a stream with the engine’s problem', async () => {
    vi.stubGlobal(
      'fetch',
      async () => new Response('{"code":"unauthorized","title":"no token"}', { status: 401 }),
    );
    const opened = new BrowserBackend().open('/api/events/stream', null, new AbortController().signal);
    await expect(opened).rejects.toSatisfy(
      (e) => e instanceof Refused && e.status === 401 && e.problem.code === 'unauthorized',
    );
  });
});
