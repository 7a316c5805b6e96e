import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { settle } from '../../testing/fake-backend';
import { Refresh } from './refresh';

let asked = 0;
let answers: (() => void)[] = [];
let slow = false;
let hidden = false;

function refresh(): Refresh {
  return new Refresh(
    () => {
      asked += 1;
      return slow ? new Promise<void>((done) => answers.push(done)) : Promise.resolve();
    },
    () => ({ busyMs: 4_000, idleMs: 20_000 }),
  );
}

function hide(now: boolean): void {
  hidden = now;
  document.dispatchEvent(new Event('visibilitychange'));
}

beforeEach(() => {
  vi.useFakeTimers();
  asked = 0;
  answers = [];
  slow = false;
  hidden = false;
  vi.spyOn(document, 'hidden', 'get').mockImplementation(() => hidden);
});
afterEach(() => void vi.useRealTimers());

describe('asking again', () => {
  it('is seldom while nothing happens', async () => {
    const it = refresh();
    it.start();
    await vi.advanceTimersByTimeAsync(59_999);
    expect(asked).toBe(3);
    it.stop();
  });

  it('is soon after something happened, and no sooner however much does', async () => {
    const it = refresh();
    it.start();
    for (let i = 0; i < 120; i += 1) {
      it.touch();
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(asked).toBe(4);
    it.stop();
  });

  it('by itself is one question at a time, and a person’s waits for none', async () => {
    slow = true;
    const it = refresh();
    it.start();
    it.touch();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toBe(1);
    it.now();
    expect(asked).toBe(2);
    for (const answer of answers) answer();
    slow = false;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(asked).toBe(3);
    it.stop();
  });

  it('never is while the page is hidden, and at once when it is seen again late', async () => {
    const it = refresh();
    it.start();
    await settle();
    hide(true);
    it.touch();
    it.now();
    await vi.advanceTimersByTimeAsync(300_000);
    expect(asked).toBe(1);
    hide(false);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toBe(2);
    it.stop();
    await vi.advanceTimersByTimeAsync(300_000);
    expect(asked).toBe(2);
  });
});
