/**
 * The backend of a browser tab. The token comes once, in the URL's fragment (which no server sees),
 * and stays in the tab's session storage: a cookie would reach every port of this machine. Streams are
 * read by `fetch`, because `EventSource` cannot send the token.
 */

import {
  type Answer,
  type Backend,
  type Message,
  parseBody,
  problemOf,
  Refused,
  Unreachable,
} from './backend';
import { SseParser } from './sse';

const KEY = 'studio-cockpit.token';

/** Takes `#token=…` out of the address bar and the history, and keeps it for this tab. */
export function takeTokenFromFragment(location: Location, history: History, storage: Storage): void {
  const match = /^#token=([^&]+)(?:&(.*))?$/.exec(location.hash);
  if (match?.[1] === undefined) return;
  storage.setItem(KEY, decodeURIComponent(match[1]));
  history.replaceState(null, '', `${location.pathname}${location.search}#${match[2] ?? '/overview'}`);
}

export class BrowserBackend implements Backend {
  readonly kind = 'browser';
  readonly shell = null;

  constructor(private readonly storage: Storage = sessionStorage) {}

  readonly signIn = (token: string): void => {
    this.storage.setItem(KEY, token.trim());
  };

  async request(method: string, path: string, body?: unknown): Promise<Answer> {
    const headers = this.headers();
    const init: RequestInit = { method, headers, cache: 'no-store', credentials: 'omit' };
    if (body !== undefined) {
      headers.set('content-type', 'application/json');
      init.body = JSON.stringify(body);
    }
    try {
      const response = await fetch(path, init);
      return { status: response.status, body: parseBody(await response.text()) };
    } catch (error) {
      throw new Unreachable(reason(error));
    }
  }

  async open(path: string, lastEventId: string | null, signal: AbortSignal): Promise<AsyncIterable<Message>> {
    const headers = this.headers();
    headers.set('accept', 'text/event-stream');
    if (lastEventId !== null) headers.set('last-event-id', lastEventId);
    let response: Response;
    try {
      response = await fetch(path, { headers, signal, cache: 'no-store', credentials: 'omit' });
    } catch (error) {
      throw new Unreachable(reason(error));
    }
    if (!response.ok || response.body === null) {
      const answer = { status: response.status, body: parseBody(await response.text()) };
      throw new Refused(answer.status, problemOf(answer));
    }
    return read(response.body);
  }

  private headers(): Headers {
    const headers = new Headers({ accept: 'application/json' });
    const token = this.storage.getItem(KEY);
    if (token !== null) headers.set('authorization', `Bearer ${token}`);
    return headers;
  }
}

async function* read(body: ReadableStream<Uint8Array>): AsyncGenerator<Message> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new SseParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } catch {
    // A cut connection ends the stream like a finished one: the reader decides what follows.
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
