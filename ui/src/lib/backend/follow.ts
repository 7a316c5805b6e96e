/**
 * Keeps a stream open: reconnects with a growing delay and the last id seen, pauses while nobody looks
 * (a hidden document costs the engine nothing) and resumes where it was.
 */

import { type Backend, type Message, Refused } from './backend';

/** What the reader of a stream is told about the connection. */
export type Link =
  | { state: 'connecting' }
  | { state: 'live' }
  | { state: 'paused' }
  | { state: 'lost'; reason: string; retryAt: number }
  | { state: 'refused'; status: number; reason: string };

export interface Handlers {
  message(message: Message): void;
  /** Called on every change of the connection. `live` comes before the first message of a connection. */
  link?(link: Link): void;
}

export interface Following {
  close(): void;
  /** Connects anew at once: instead of waiting out the delay, or of a connection that says nothing. */
  retryNow(): void;
}

export interface FollowOptions {
  /** Only what follows this id; later connections use the last one seen. */
  after?: string | null;
  firstDelayMs?: number;
  maxDelayMs?: number;
  visibility?: Pick<Document, 'hidden' | 'addEventListener' | 'removeEventListener'>;
}

/** Statuses that a repetition does not mend. */
const FINAL = new Set([400, 401, 403, 404, 405]);

export function follow(
  backend: Backend,
  path: string,
  handlers: Handlers,
  options: FollowOptions = {},
): Following {
  const firstDelay = options.firstDelayMs ?? 500;
  const maxDelay = options.maxDelayMs ?? 5_000;
  const visibility = options.visibility ?? document;

  let lastId = options.after ?? null;
  let closed = false;
  let wasLive = false;
  let delay = firstDelay;
  let attempt: AbortController | null = null;
  let timer: ReturnType<typeof setTimeout> | null = null;

  const link = (to: Link): void => {
    if (!closed) handlers.link?.(to);
  };

  const clear = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
  };

  const later = (reason: string): void => {
    if (closed || visibility.hidden) return;
    link({ state: 'lost', reason, retryAt: Date.now() + delay });
    timer = setTimeout(connect, delay);
    delay = Math.min(delay * 2, maxDelay);
  };

  function connect(): void {
    clear();
    if (closed || attempt !== null || visibility.hidden) return;
    const controller = new AbortController();
    attempt = controller;
    void run(controller).finally(() => {
      if (attempt === controller) attempt = null;
    });
  }

  async function run(controller: AbortController): Promise<void> {
    const mine = (): boolean => !closed && attempt === controller && !controller.signal.aborted;
    link({ state: 'connecting' });
    try {
      const messages = await backend.open(path, lastId, controller.signal);
      if (!mine()) return;
      wasLive = true;
      link({ state: 'live' });
      for await (const message of messages) {
        if (!mine()) return;
        delay = firstDelay;
        if (message.id !== null && message.id !== '') lastId = message.id;
        handlers.message(message);
      }
      if (!mine()) return;
      attempt = null;
      later('the connection ended');
    } catch (error) {
      if (!mine()) return;
      attempt = null;
      const reason = error instanceof Error ? error.message : String(error);
      // An engine that just came back may not have taken up what it served before.
      const early = wasLive && error instanceof Refused && error.status === 404;
      if (error instanceof Refused && FINAL.has(error.status) && !early) {
        link({ state: 'refused', status: error.status, reason });
      } else {
        later(reason);
      }
    }
  }

  function drop(): void {
    clear();
    attempt?.abort();
    attempt = null;
  }

  const seen = (): void => {
    if (visibility.hidden) {
      drop();
      link({ state: 'paused' });
    } else {
      delay = firstDelay;
      connect();
    }
  };

  visibility.addEventListener('visibilitychange', seen);
  if (visibility.hidden) link({ state: 'paused' });
  else connect();

  return {
    close(): void {
      closed = true;
      visibility.removeEventListener('visibilitychange', seen);
      drop();
    },
    retryNow(): void {
      delay = firstDelay;
      drop();
      connect();
    },
  };
}
