import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { FakeBackend, settle } from '../../testing/fake-backend';
import { at } from '../../testing/fixtures';
import { LogFeed } from './log-feed.svelte';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const ALL = { text: '', stream: null, instance: null };
const lines = (from: number, to: number): string =>
  JSON.stringify(
    Array.from({ length: to - from }, (_, i) => ({
      at: at(from + i),
      instance: 0,
      stream: 'stdout',
      text: `line ${from + i}`,
    })),
  );

async function start() {
  const backend = new FakeBackend();
  const dropped = vi.fn();
  const feed = new LogFeed(backend, dropped);
  const stop = feed.start('my api');
  await settle();
  const send = async (data: string) => {
    backend.stream.queue.push({ event: 'line', id: null, data });
    await settle();
  };
  const texts = () => feed.rows(ALL).map((row) => row.text);
  return { backend, dropped, feed, stop, send, texts };
}

describe('LogFeed', () => {
  it('takes a burst of lines together', async () => {
    const { backend, send, texts, feed, stop } = await start();
    expect(backend.opened[0]?.path).toBe('/api/services/my%20api/logs?tail=500&follow=true');
    await send(lines(0, 2));
    await send('not a line');
    await send(lines(2, 3));
    expect(texts()).toEqual([]);
    await vi.advanceTimersByTimeAsync(100);
    expect(texts()).toEqual(['line 0', 'line 1', 'line 2']);
    expect(feed.length).toBe(3);
    stop();
  });

  it('shows no line twice after the connection was lost, and none of it is', async () => {
    const { backend, send, texts, stop } = await start();
    await send(lines(0, 3));
    backend.stream.queue.end();
    await settle();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(backend.opened).toHaveLength(2);
    await send(lines(1, 5));
    await vi.advanceTimersByTimeAsync(100);
    expect(texts()).toEqual([0, 1, 2, 3, 4].map((n) => `line ${n}`));
    stop();
  });

  it('tells how many lines fell out at the old end', async () => {
    const { send, dropped, feed, stop } = await start();
    await send(lines(0, 5_000));
    await vi.advanceTimersByTimeAsync(100);
    expect(dropped).not.toHaveBeenCalled();
    await send(lines(5_000, 5_007));
    await vi.advanceTimersByTimeAsync(100);
    expect(dropped).toHaveBeenCalledExactlyOnceWith(7);
    expect(feed.length).toBe(5_000);
    stop();
  });

  it('knows when what was there before had its time to come', async () => {
    const { feed, stop } = await start();
    expect(feed.link.state).toBe('live');
    expect(feed.settled).toBe(false);
    await vi.advanceTimersByTimeAsync(500);
    expect(feed.settled).toBe(true);
    stop();
  });

  it('takes nothing once it is left', async () => {
    const { send, texts, stop } = await start();
    await send(lines(0, 2));
    stop();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(texts()).toEqual([]);
  });
});
