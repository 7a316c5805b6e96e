import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Refused, Unreachable } from './backend';
import { BrowserBackend, isSignInLink, takeCodeFromFragment } from './browser';

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

describe('takeCodeFromFragment', () => {
  const take = (hash: string): { kept: string | null; address: string | null } => {
    let address: string | null = null;
    const location = { hash, pathname: '/', search: '' } as Location;
    const history = {
      replaceState: (_: unknown, __: string, url: string) => {
        address = url;
      },
    } as unknown as History;
    takeCodeFromFragment(location, history, sessionStorage);
    return { kept: sessionStorage.getItem('studio-cockpit.code'), address };
  };

  it('keeps the code for the exchange and removes it from the address', () => {
    expect(take('#code=0a1b')).toEqual({ kept: '0a1b', address: '/#/overview' });
  });

  it('goes where the rest of the fragment says', () => {
    expect(take('#code=abc&/services/api/log')).toEqual({ kept: 'abc', address: '/#/services/api/log' });
  });

  it('leaves other fragments alone', () => {
    for (const hash of ['#/services', '', '#code=', '#token=abc']) {
      expect(take(hash)).toEqual({ kept: null, address: null });
      expect(isSignInLink(hash)).toBe(false);
    }
    expect(isSignInLink('#code=abc')).toBe(true);
  });
});

describe('a sign-in link', () => {
  type Fetch = (path: string, init: RequestInit) => Promise<Response>;
  const json = (body: unknown, status = 200) => new Response(JSON.stringify(body), { status });
  const token = (init: RequestInit) => new Headers(init.headers).get('authorization');

  beforeEach(() => sessionStorage.setItem('studio-cockpit.code', 'c0de'));

  it('is exchanged once, before anything is asked, and the token is kept for the tab', async () => {
    const fetch = vi.fn<Fetch>(async (path) => (path === '/api/sign-in' ? json({ token: 't0' }) : json([])));
    vi.stubGlobal('fetch', fetch);
    const backend = new BrowserBackend();
    await Promise.all([backend.request('GET', '/api/status'), backend.request('GET', '/api/services')]);
    await backend.request('GET', '/api/host');

    const asked = fetch.mock.calls.map(([path, init]) => [path, token(init)]);
    expect(asked).toEqual([
      ['/api/sign-in', null],
      ['/api/status', 'Bearer t0'],
      ['/api/services', 'Bearer t0'],
      ['/api/host', 'Bearer t0'],
    ]);
    expect(fetch.mock.calls[0]?.[1].body).toBe('{"code":"c0de"}');
    expect(backend.refusedLink).toBeNull();
    expect(sessionStorage.getItem('studio-cockpit.code')).toBeNull();
    expect(sessionStorage.getItem('studio-cockpit.token')).toBe('t0');
  });

  it('that is used up is not tried again, and says so', async () => {
    const refusal = { code: 'sign_in_refused', title: 'this sign-in link was used before' };
    const fetch = vi.fn<Fetch>(async (path) =>
      path === '/api/sign-in' ? json(refusal, 401) : json({ code: 'unauthorized', title: 'no' }, 401),
    );
    vi.stubGlobal('fetch', fetch);
    const backend = new BrowserBackend();
    await expect(
      backend.open('/api/events/stream', null, new AbortController().signal),
    ).rejects.toBeInstanceOf(Refused);
    await backend.request('GET', '/api/status');
    expect(fetch.mock.calls.map(([path]) => path)).toEqual([
      '/api/sign-in',
      '/api/events/stream',
      '/api/status',
    ]);
    expect(backend.refusedLink).toEqual(refusal);
  });

  it('outlives an engine that does not answer yet', async () => {
    let up = false;
    vi.stubGlobal('fetch', async (path: string) => {
      if (!up) throw new TypeError('Failed to fetch');
      return path === '/api/sign-in' ? json({ token: 't0' }) : json({});
    });
    await expect(new BrowserBackend().request('GET', '/api/status')).rejects.toBeInstanceOf(Unreachable);
    up = true;
    // The page may have been loaded anew meanwhile.
    expect((await new BrowserBackend().request('GET', '/api/status')).status).toBe(200);
    expect(sessionStorage.getItem('studio-cockpit.token')).toBe('t0');
  });

  it('gives way to a token that a person types', async () => {
    const fetch = vi.fn<Fetch>(async () => json({}));
    vi.stubGlobal('fetch', fetch);
    const backend = new BrowserBackend();
    backend.signIn('typed');
    await backend.request('GET', '/api/status');
    expect(fetch.mock.calls.map(([path]) => path)).toEqual(['/api/status']);
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
