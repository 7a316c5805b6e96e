/**
 * The backend of the desktop window. The webview holds no token: the shell speaks to the engine's
 * socket and passes requests through `api` and streams through a channel.
 */

import type { AppInfo } from '../types';
import {
  type Answer,
  ask,
  type Backend,
  type HandedFile,
  type Message,
  parseBody,
  type Shell,
  Unreachable,
} from './backend';
import { Queue } from './queue';

type Core = typeof import('@tauri-apps/api/core');

/** Loaded only here, so that a browser never fetches it. */
let core: Promise<Core> | undefined;
function tauri(): Promise<Core> {
  core ??= import('@tauri-apps/api/core');
  return core;
}

/** Whether the page runs in the desktop window. */
export function insideTauri(): boolean {
  return '__TAURI_INTERNALS__' in globalThis;
}

export class TauriBackend implements Backend {
  readonly kind = 'window';
  readonly signIn = null;

  readonly shell: Shell = {
    info: async () => (await tauri()).invoke<AppInfo>('app_info'),
    quit: async () => {
      await (await tauri()).invoke('quit');
    },
    upgradeEngine: async () => {
      await (await tauri()).invoke('upgrade_engine');
    },
  };

  readonly hands = 'Copy';

  async hand(file: HandedFile): Promise<void> {
    if ('text' in file) return navigator.clipboard.writeText(file.text);
    const drawing = ask<string>(this, 'GET', `${file.path}.svg?${file.query}`);
    if (file.type === 'image/svg+xml') return navigator.clipboard.writeText(await drawing);
    // The clipboard must be asked while the click still counts; the picture may come later.
    return navigator.clipboard.write([new ClipboardItem({ 'image/png': drawing.then(rasterize) })]);
  }

  async request(method: string, path: string, body?: unknown): Promise<Answer> {
    const { invoke } = await tauri();
    try {
      const answer = await invoke<{ status: number; body: string }>('api', {
        method,
        path,
        body: body === undefined ? null : JSON.stringify(body),
      });
      return { status: answer.status, body: parseBody(answer.body) };
    } catch (error) {
      throw new Unreachable(String(error));
    }
  }

  async open(path: string, lastEventId: string | null, signal: AbortSignal): Promise<AsyncIterable<Message>> {
    const { Channel, invoke } = await tauri();
    const queue = new Queue<Message>();
    const channel = new Channel<string>();
    channel.onmessage = (text) => {
      const message = toMessage(text);
      if (message === null) return;
      if (message.event === 'end') queue.end();
      else queue.push(message);
    };
    let id: unknown;
    try {
      id = await invoke('subscribe', { path, lastEventId, channel });
    } catch (error) {
      throw new Unreachable(String(error));
    }
    const close = (): void => {
      queue.end();
      invoke('unsubscribe', { id }).catch(() => undefined);
    };
    if (signal.aborted) close();
    else signal.addEventListener('abort', close, { once: true });
    return queue;
  }
}

/** A drawing as a picture, twice as fine as it is large. */
async function rasterize(svg: string): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth * 2;
  canvas.height = image.naturalHeight * 2;
  canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done, failed) => {
    canvas.toBlob((blob) => (blob === null ? failed(new Error('the picture is empty')) : done(blob)));
  });
}

/** A channel message, `{event, id, data}` as JSON; `data` may be text or already an object. */
export function toMessage(text: unknown): Message | null {
  const raw = typeof text === 'string' ? parseBody(text) : text;
  if (typeof raw !== 'object' || raw === null || !('event' in raw)) return null;
  const { event, id, data } = raw as { event: unknown; id?: unknown; data?: unknown };
  return {
    event: String(event),
    id: id === undefined || id === null ? null : String(id),
    data: typeof data === 'string' ? data : JSON.stringify(data ?? null),
  };
}
