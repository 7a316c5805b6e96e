/** A backend whose answers a test writes and whose streams it feeds. */

import {
  type Answer,
  type Backend,
  type HandedFile,
  type Message,
  Refused,
  type Shell,
  Unreachable,
} from '../lib/backend';
import { Queue } from '../lib/backend/queue';
import type { Event, EventBody } from '../lib/types';

interface Opened {
  path: string;
  lastEventId: string | null;
  queue: Queue<Message>;
  signal: AbortSignal;
}

export class FakeBackend implements Backend {
  kind: 'browser' | 'window' = 'browser';
  shell: Shell | null = null;
  readonly hands = 'Save';
  readonly handed: HandedFile[] = [];

  async hand(file: HandedFile): Promise<void> {
    this.handed.push(file);
  }

  token: string | null = null;

  readonly signIn = (token: string): void => {
    this.token = token;
  };

  /** `METHOD path` (without the query) → answer. A function is asked each time. */
  readonly answers = new Map<string, Answer | (() => Answer | Promise<Answer>)>();
  readonly requests: { method: string; path: string; body: unknown }[] = [];
  readonly opened: Opened[] = [];
  /** What the next `open` fails with. */
  failures: (Unreachable | Refused)[] = [];
  private seq = 100;

  on(what: string, body: unknown, status = 200): this {
    this.answers.set(what, { status, body });
    return this;
  }

  async request(method: string, path: string, body?: unknown): Promise<Answer> {
    this.requests.push({ method, path, body });
    const answer = this.answers.get(`${method} ${path.split('?')[0]}`);
    if (answer === undefined)
      return { status: 404, body: { code: 'not_found', title: `no ${path} in this test` } };
    return typeof answer === 'function' ? answer() : answer;
  }

  async open(path: string, lastEventId: string | null, signal: AbortSignal): Promise<AsyncIterable<Message>> {
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    const queue = new Queue<Message>();
    signal.addEventListener('abort', () => queue.end());
    this.opened.push({ path, lastEventId, queue, signal });
    return queue;
  }

  /** The stream opened last. */
  get stream(): Opened {
    const last = this.opened[this.opened.length - 1];
    if (last === undefined) throw new Error('no stream is open');
    return last;
  }

  send(body: EventBody, over: Partial<Event> = {}): void {
    this.seq += 1;
    const event = { seq: this.seq, at: new Date().toISOString(), ...body, ...over };
    this.stream.queue.push({ event: body.type, id: String(event.seq), data: JSON.stringify(event) });
  }
}

/** Lets promises settle; no time passes. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 12; i += 1) await Promise.resolve();
}
