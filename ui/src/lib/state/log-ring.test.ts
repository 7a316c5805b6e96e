import { describe, expect, it } from 'vitest';

import { at } from '../../testing/fixtures';
import type { LogLine } from '../types';
import { LogRing, occurrences } from './log-ring';

const line = (n: number, over: Partial<LogLine> = {}): LogLine => ({
  at: at(n),
  instance: 0,
  stream: 'stdout',
  text: `line ${n}`,
  ...over,
});
const lines = (from: number, to: number): LogLine[] =>
  Array.from({ length: to - from }, (_, i) => line(from + i));

describe('LogRing', () => {
  it('keeps the newest and counts what fell out', () => {
    const ring = new LogRing(100);
    ring.push(lines(0, 90));
    ring.push(lines(90, 250));
    expect(ring.length).toBe(100);
    expect(ring.dropped).toBe(150);
    expect(ring.all[0]?.text).toBe('line 150');
    expect(ring.all[99]?.number).toBe(249);
  });

  it('hands out a new list after each push, so that a view can tell', () => {
    const ring = new LogRing();
    const before = ring.filtered({ text: '', stream: null, instance: null });
    ring.push(lines(0, 1));
    expect(ring.filtered({ text: '', stream: null, instance: null })).not.toBe(before);
  });

  it('takes the repeated tail of a reconnected stream once', () => {
    const ring = new LogRing();
    ring.push(lines(0, 10));
    expect(ring.push(lines(5, 12), true)).toBe(2);
    expect(ring.all.map((r) => r.text)).toEqual(lines(0, 12).map((l) => l.text));
  });

  it('filters by text in either case and below the colours, by stream and by instance', () => {
    const ring = new LogRing();
    ring.push([
      line(0, { text: '\x1b[31mERR\x1b[0mor: boom' }),
      line(1, { stream: 'stderr', instance: 1, text: 'error again' }),
      line(2),
    ]);
    const found = (f: Partial<Parameters<LogRing['filtered']>[0]>): number[] =>
      ring.filtered({ text: '', stream: null, instance: null, ...f }).map((r) => r.number);
    expect(found({ text: 'Error' })).toEqual([0, 1]);
    expect(found({ stream: 'stderr' })).toEqual([1]);
    expect(found({ text: 'error', instance: 0 })).toEqual([0]);
  });
});

describe('occurrences', () => {
  it('finds them all, in either case', () => {
    expect(occurrences('abcABCab', 'ab')).toEqual([
      [0, 2],
      [3, 5],
      [6, 8],
    ]);
  });
  it('finds none for nothing, and none where lower case changes the length', () => {
    expect(occurrences('abc', '')).toEqual([]);
    expect(occurrences('İab', 'ab')).toEqual([]);
  });
});
