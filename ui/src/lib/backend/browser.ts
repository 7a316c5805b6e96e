/**
 * The backend of a browser tab. A sign-in link holds a one-time code in its fragment (which no server
 * sees); it is exchanged for the token before anything else is asked. The token stays in the tab's
 * session storage: a cookie would reach every port of this machine. Streams are read by `fetch`,
 * because `EventSource` cannot send the token.
 */

import type { Problem } from '../types';
import {
  type Answer,
  type Backend,
  type HandedFile,
  type Message,
  parseBody,
  problemOf,
  Refused,
  Unreachable,
} from './backend';
import { SseParser } from './sse';

const TOKEN = 'studio-cockpit.token';
/** A code that is not exchanged yet: a reload or an engine that just restarts does not lose it. */
const CODE = 'studio-cockpit.code';
const LINK = /^#code=([^&]+)(?:&(.*))?$/;

/** Takes `#code=…` out of the address bar and the history, and keeps it for the exchange. */
export function takeCodeFromFragment(location: Location, history: History, storage: Storage): void {
  const match = LINK.exec(location.hash);
  if (match?.[1] === undefined) return;
  storage.setItem(CODE, match[1]);
  history.replaceState(null, '', `${location.pathname}${location.search}#${match[2] ?? '/overview'}`);
}

/** Whether a fragment is a sign-in link's. */
export function isSignInLink(hash: string): boolean {
  return LINK.test(hash);
}

export class BrowserBackend implements Backend {
  readonly kind = 'browser';
  readonly shell = null;
  refusedLink: Problem | null = null;
  private exchanging: Promise<void> | null = null;

  constructor(private readonly storage: Storage = sessionStorage) {}

  readonly signIn = (token: string): void => {
    this.storage.removeItem(CODE);
    this.storage.setItem(TOKEN, token.trim());
  };

  async request(method: string, path: string, body?: unknown): Promise<Answer> {
    await this.exchanged();
    return this.send(method, path, body);
  }

  private async send(method: string, path: string, body?: unknown): Promise<Answer> {
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
    await this.exchanged();
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

  readonly hands = 'Save';

  async hand(file: HandedFile): Promise<void> {
    const blob = 'text' in file ? new Blob([file.text], { type: file.type }) : await this.picture(file);
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = file.name;
    link.click();
    // The browser has taken it by then.
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  /** Fetched, not linked: a link carries no token. */
  private async picture(file: Exclude<HandedFile, { text: string }>): Promise<Blob> {
    await this.exchanged();
    const path = `${file.path}.${file.type === 'image/png' ? 'png' : 'svg'}?${file.query}`;
    let response: Response;
    try {
      response = await fetch(path, { headers: this.headers(), cache: 'no-store', credentials: 'omit' });
    } catch (error) {
      throw new Unreachable(reason(error));
    }
    if (response.ok) return response.blob();
    const answer = { status: response.status, body: parseBody(await response.text()) };
    throw new Refused(answer.status, problemOf(answer));
  }

  /** Resolves when no code waits any more. Whoever asks meanwhile waits for the one exchange. */
  private async exchanged(): Promise<void> {
    const code = this.storage.getItem(CODE);
    if (code === null) return;
    this.exchanging ??= this.exchange(code).finally(() => {
      this.exchanging = null;
    });
    await this.exchanging;
  }

  private async exchange(code: string): Promise<void> {
    // Nobody there: the code is kept, and the next request tries again.
    const answer = await this.send('POST', '/api/sign-in', { code });
    this.storage.removeItem(CODE);
    const token = (answer.body as { token?: unknown } | null)?.token;
    if (answer.status === 200 && typeof token === 'string') this.storage.setItem(TOKEN, token);
    else this.refusedLink = problemOf(answer);
  }

  private headers(): Headers {
    const headers = new Headers({ accept: 'application/json' });
    const token = this.storage.getItem(TOKEN);
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
