import { describe, expect, it } from 'vitest';

import { at, NOW } from '../../testing/fixtures';
import * as f from './format';

describe('bytes', () => {
  it.each([
    [0, '0 B'],
    [998, '998 B'],
    [1000, '0.98 KiB'],
    [1024, '1.00 KiB'],
    [10_230, '9.99 KiB'],
    [10_240, '10.0 KiB'],
    [102_400, '100 KiB'],
    [1023 * 1024, '1.00 MiB'],
    [1.42 * 1024 ** 3, '1.42 GiB'],
    [128 * 1024 ** 3, '128 GiB'],
    [3.6 * 1024 ** 4, '3.60 TiB'],
    [null, '–'],
    [undefined, '–'],
    [Number.NaN, '–'],
    [-1, '–'],
  ])('%s is %s', (n, text) => expect(f.bytes(n)).toBe(text));

  it('never shows more than three digits, whatever the size', () => {
    for (let n = 1; n < 2 ** 60; n *= 1.037) {
      expect(f.quantityOfBytes(n).figure.replace('.', '').length, String(n)).toBeLessThanOrEqual(3);
    }
  });
});

describe('percent, latency', () => {
  it.each([
    [0, '0.0 %'],
    [9.94, '9.9 %'],
    [9.96, '10 %'],
    [312.4, '312 %'],
    [null, '–'],
  ])('%s is %s', (n, text) => expect(f.percent(n)).toBe(text));
  it.each([
    [0.36, '0.4 ms'],
    [9.96, '10 ms'],
    [999.6, '1.00 s'],
    [12_340, '12.3 s'],
    [180_000, '180 s'],
    [null, '–'],
  ])('%s is %s', (n, text) => expect(f.latency(n)).toBe(text));
});

describe('durations', () => {
  it.each([
    [-5, '0 s'],
    [59_999, '59 s'],
    [60_000, '1 m 00 s'],
    [3_599_000, '59 m 59 s'],
    [3_600_000, '1 h 00 m'],
    [86_399_000, '23 h 59 m'],
    [86_400_000 * 12 + 4 * 3_600_000, '12 d 4 h'],
    [null, '–'],
  ])('%s is %s', (ms, text) => expect(f.duration(ms)).toBe(text));
  it.each([
    [1_000, '1 second'],
    [89_000, '89 seconds'],
    [90_000, '2 minutes'],
    [5_400_000, '2 hours'],
    [129_600_000, '2 days'],
  ])('%s in words is %s', (ms, text) => expect(f.durationInWords(ms)).toBe(text));
});

describe('countdown', () => {
  it.each([
    [at(-1), 'now'],
    [at(0), 'now'],
    [at(1), '1 s'],
    [at(59_001), '1:00'],
    [at(125_000), '2:05'],
    [at(3_609_000), '1:00:09'],
    [null, '–'],
    ['rubbish', '–'],
  ])('%s is %s', (until, text) => expect(f.countdown(until, NOW)).toBe(text));
  it('is in that time, or now', () => {
    expect(f.dueIn(at(4_000), NOW)).toBe('in 4 s');
    expect(f.dueIn(at(-4_000), NOW)).toBe('now');
  });
});

describe('times', () => {
  it('tells how long ago', () => {
    expect(f.ago(at(500), NOW)).toBe('just now');
    expect(f.ago(at(-4_000), NOW)).toBe('4 s ago');
    expect(f.ago(at(-7_200_000), NOW)).toBe('2 h ago');
  });

  it('orders times by digits a number would lose, and across lengths', () => {
    const times = [
      '2026-03-01T12:00:00.000000002Z',
      '2026-03-01T12:00:01Z',
      '2026-03-01T12:00:00Z',
      '2026-03-01T12:00:00.000000001Z',
      '2026-03-01T12:00:00.5Z',
    ];
    expect([...times].sort(f.compareTimes)).toEqual([times[2], times[3], times[0], times[4], times[1]]);
  });

  it('says when a disk is full', () => {
    expect(f.daysToFull(null)).toBeNull();
    expect(f.daysToFull(0.4)).toBe('full in 9 hours');
    expect(f.daysToFull(12.9)).toBe('full in 12 days');
    expect(f.daysToFull(5000)).toBe('years left');
  });
});

it('lists names', () => {
  expect(f.list([])).toBe('');
  expect(f.list(['a'])).toBe('a');
  expect(f.list(['a', 'b', 'c'])).toBe('a, b and c');
});

describe('money', () => {
  it.each([
    [0, '$0'],
    [0.000001, '<$0.00001'],
    [0.0000123, '$0.000012'],
    [0.0042, '$0.0042'],
    [0.05, '$0.050'],
    [0.00996, '$0.010'],
    [0.0994, '$0.099'],
    [0.0996, '$0.10'],
    [0.31, '$0.31'],
    [3.42, '$3.42'],
    [999.99, '$999.99'],
    [999.996, '$1,000'],
    [1284.4, '$1,284'],
    [2_400_000, '$2.40 M'],
    [null, '–'],
    [Number.NaN, '–'],
  ])('%s is %s', (n, text) => expect(f.money(n)).toBe(text));

  it.each([
    ['$0.010', '$0.01'],
    ['$0.0050', '$0.005'],
    ['$10.00', '$10'],
    ['$3.50', '$3.50'],
    ['1.00 s', '1 s'],
    ['2.0 ms', '2 ms'],
    ['512 MiB', '512 MiB'],
    ['$0', '$0'],
    ['1,200', '1,200'],
    ['1.50 M', '1.50 M'],
  ])('%s is %s at an axis', (text, short) => expect(f.shortest(text)).toBe(short));

  it('is written in full where it is one thing’s', () => {
    expect(f.exactMoney(0.00001274)).toBe('$0.00001274');
    expect(f.exactMoney(3)).toBe('$3.00');
    expect(f.exactMoney(1.5)).toBe('$1.50');
    expect(f.exactMoney(null)).toBe('–');
  });
});

describe('numbers, tokens, shares', () => {
  it.each([
    [0.04, '0.0'],
    [9.94, '9.9'],
    [9.96, '10'],
    [1_284.4, '1,284'],
  ])('a rate of %s is %s', (n, text) => expect(f.figure(n)).toBe(text));
  it.each([
    [0, '0'],
    [1284, '1,284'],
    [999_999, '999,999'],
    [1_284_000, '1.28 M'],
    [999_960_000, '1.00 B'],
    [null, '–'],
  ])('%s is %s', (n, text) => expect(f.number(n)).toBe(text));
  it.each([
    [9_999, '9,999'],
    [12_400, '12.4 k'],
    [999_600, '1.00 M'],
    [3.1e9, '3.10 B'],
    [null, '–'],
  ])('%s tokens are %s', (n, text) => expect(f.tokens(n)).toBe(text));
  it.each([
    [0, 10, '0 %'],
    [1, 10_000, '<0.1 %'],
    [1, 250, '0.4 %'],
    [999, 1000, '99 %'],
    [10, 10, '100 %'],
    [0, 0, '–'],
  ])('%s of %s is %s', (part, whole, text) => expect(f.share(part, whole)).toBe(text));
});

describe('a day', () => {
  const now = new Date(2026, 2, 1, 0, 30).getTime();
  it.each([
    [new Date(2026, 2, 1, 0, 1), 'Today'],
    [new Date(2026, 1, 28, 23, 59), 'Yesterday'],
    [new Date(2026, 1, 27, 23, 59), '27 Feb'],
    [new Date(2025, 2, 1, 12), '1 Mar 2025'],
  ])('%s is %s', (date, name) => {
    expect(f.dayName(date.getTime(), now)).toBe(name);
    expect(f.dayName(date.toISOString(), now)).toBe(name);
  });
  it('is not made up', () => expect(f.dayName('soon', now)).toBeNull());
});

describe('a stretch of time', () => {
  const now = new Date(2026, 2, 5, 12).getTime();
  const t = (d: number, h: number, m = 0, s = 0): number => new Date(2026, 2, d, h, m, s).getTime();
  it.each([
    [t(5, 9), t(5, 9, 15), '09:00–09:15'],
    [t(5, 9, 0, 5), t(5, 9, 0, 10), '09:00:05–09:00:10'],
    [t(4, 23), t(5, 0), '4 Mar, 23:00–00:00'],
    [t(4, 22), t(5, 2), '4 Mar, 22:00 – 5 Mar, 02:00'],
    [t(4, 0), t(5, 0), '4 Mar'],
    [t(2, 0), t(5, 0), '2 Mar – 4 Mar'],
  ])('%s', (from, to, text) => expect(f.span(from, to, now)).toBe(text));
});
