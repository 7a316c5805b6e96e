/**
 * The one seam between the screens and the engine. Two implementations: `browser.ts` speaks HTTP to
 * the origin the page came from, `tauri.ts` passes through the desktop shell, which holds the socket.
 *
 * A backend moves requests and messages and decides nothing; when to try again is `follow.ts`'s.
 */

import type { AppInfo, Problem } from '../types';

/** What came back. `body` is the parsed JSON, or the text where it was not JSON. */
export interface Answer {
  status: number;
  body: unknown;
}

/** One server-sent event. */
export interface Message {
  event: string;
  id: string | null;
  data: string;
}

/** The engine could not be reached at all, as opposed to it refusing. */
export class Unreachable extends Error {
  override name = 'Unreachable';
}

/** The engine answered with an error. */
export class Refused extends Error {
  override name = 'Refused';
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(problem.title);
  }
}

export interface Backend {
  /** Where the screens run; the window has keys and offers that a browser tab has not. */
  readonly kind: 'browser' | 'window';

  /** Rejects with {@link Unreachable} only; an HTTP error is an answer. */
  request(method: string, path: string, body?: unknown): Promise<Answer>;

  /**
   * Opens a live stream and resolves once the engine accepted it. The messages end when the engine
   * goes or `signal` is aborted. Rejects with {@link Unreachable} or {@link Refused}.
   */
  open(path: string, lastEventId: string | null, signal: AbortSignal): Promise<AsyncIterable<Message>>;

  /** Hands a file to the person: a browser saves it, the window, which has no folder to save to, copies it. */
  hand(file: HandedFile): Promise<void>;
  readonly hands: 'Save' | 'Copy';

  /** The shell around the screens; `null` in a browser. */
  readonly shell: Shell | null;

  /** Takes the token a person typed; `null` where none is needed. */
  readonly signIn: ((token: string) => void) | null;

  /** Why the link this page was opened by did not sign in; nothing where it did, or there was none. */
  readonly refusedLink?: Problem | null;
}

/** A text, or a picture the engine draws. */
export type HandedFile =
  | { name: string; type: 'text/csv'; text: string }
  /** The path without its extension: there is `.svg` and `.png`. */
  | { name: string; type: 'image/svg+xml' | 'image/png'; path: string; query: string };

/** What only the desktop application can do. */
export interface Shell {
  info(): Promise<AppInfo>;
  /** Window and menubar go; the engine and the services go on. */
  quit(): Promise<void>;
  /** Replaces the running engine by the one this application brings; services go on. */
  upgradeEngine(): Promise<void>;
}

/** The answer's body where it is good, a {@link Refused} where it is not. */
export async function ask<T>(backend: Backend, method: string, path: string, body?: unknown): Promise<T> {
  const answer = await backend.request(method, path, body);
  if (answer.status >= 200 && answer.status < 300) return answer.body as T;
  throw new Refused(answer.status, problemOf(answer));
}

/** An error body as a {@link Problem}, also when something other than the engine answered. */
export function problemOf(answer: Answer): Problem {
  const body = answer.body;
  if (typeof body === 'object' && body !== null && 'title' in body && 'code' in body) {
    return body as Problem;
  }
  const problem: Problem = { code: `http_${answer.status}`, title: `the engine answered ${answer.status}` };
  if (typeof body === 'string' && body.trim() !== '') problem.detail = body.trim().slice(0, 400);
  return problem;
}

/** JSON where it is JSON. */
export function parseBody(text: string): unknown {
  if (text === '') return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
