import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { FakeBackend, settle } from '../../testing/fake-backend';
import { Refused, Unreachable } from './backend';
import { follow, type Link } from './follow';

class Page extends EventTarget {
  hidden = false;
  set(hidden: boolean): void {
    this.hidden = hidden;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function start(prepare: (backend: FakeBackend) => void = () => undefined) {
  const backend = new FakeBackend();
  prepare(backend);
  const page = new Page();
  const messages: string[] = [];
  const links: Link['state'][] = [];
  const following = follow(
    backend,
    '/s',
    { message: (m) => messages.push(m.data), link: (l) => links.push(l.state) },
    { visibility: page as unknown as Document, firstDelayMs: 100, maxDelayMs: 400 },
  );
  return { backend, page, messages, links, following };
}

describe('follow', () => {
  it('reconnects with the last id after the connection ended', async () => {
    const { backend, messages, links } = start();
    await settle();
    backend.stream.queue.push({ event: 'x', id: '12', data: 'a' });
    backend.stream.queue.end();
    await settle();
    expect(links).toEqual(['connecting', 'live', 'lost']);
    await vi.advanceTimersByTimeAsync(100);
    expect(backend.opened).toHaveLength(2);
    expect(backend.stream.lastEventId).toBe('12');
    backend.stream.queue.push({ event: 'x', id: '13', data: 'b' });
    await settle();
    expect(messages).toEqual(['a', 'b']);
  });

  it('waits longer after each failure, up to the limit, and retries at once when told', async () => {
    const { backend, following } = start((b) => {
      b.failures = Array.from({ length: 5 }, () => new Unreachable('refused'));
    });
    const left = (): number => backend.failures.length;
    await settle();
    expect(left()).toBe(4);
    await vi.advanceTimersByTimeAsync(100);
    expect(left()).toBe(3);
    await vi.advanceTimersByTimeAsync(199);
    expect(left()).toBe(3);
    await vi.advanceTimersByTimeAsync(1);
    expect(left()).toBe(2);
    await vi.advanceTimersByTimeAsync(400);
    expect(left()).toBe(1);
    following.retryNow();
    await settle();
    expect(left()).toBe(0);
  });

  it('does not knock again where the answer is final', async () => {
    const { backend, links } = start((b) => {
      b.failures = [new Refused(401, { code: 'unauthorized', title: 'no' })];
    });
    await settle();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(links).toEqual(['connecting', 'refused']);
    expect(backend.opened).toHaveLength(0);
  });

  it('knocks again where a stream that was there is not there yet', async () => {
    const { backend, links } = start();
    await settle();
    backend.failures = [new Refused(404, { code: 'unknown_service', title: 'not taken up yet' })];
    backend.stream.queue.end();
    await settle();
    await vi.advanceTimersByTimeAsync(100);
    expect(backend.failures).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(200);
    expect(links).toEqual(['connecting', 'live', 'lost', 'connecting', 'lost', 'connecting', 'live']);
  });

  it('pauses while hidden and resumes where it was', async () => {
    const { backend, page, links, messages } = start();
    await settle();
    backend.stream.queue.push({ event: 'x', id: '5', data: 'a' });
    await settle();
    page.set(true);
    expect(backend.stream.signal.aborted).toBe(true);
    backend.stream.queue.push({ event: 'x', id: '6', data: 'lost' });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(backend.opened).toHaveLength(1);
    page.set(false);
    await settle();
    expect(backend.opened).toHaveLength(2);
    expect(backend.stream.lastEventId).toBe('5');
    expect(messages).toEqual(['a']);
    expect(links).toEqual(['connecting', 'live', 'paused', 'connecting', 'live']);
  });

  it('gives up a silent connection for a new one when told', async () => {
    const { backend, following } = start();
    await settle();
    following.retryNow();
    await settle();
    expect(backend.opened.map((o) => o.signal.aborted)).toEqual([true, false]);
  });

  it('says nothing after it was closed', async () => {
    const { backend, following, messages, links } = start();
    await settle();
    following.close();
    backend.stream.queue.push({ event: 'x', id: '5', data: 'a' });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(messages).toEqual([]);
    expect(links).toEqual(['connecting', 'live']);
    expect(backend.opened).toHaveLength(1);
  });
});
