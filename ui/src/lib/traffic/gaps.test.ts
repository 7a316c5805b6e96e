import { describe, expect, it } from 'vitest';

import { usage } from '../../testing/fixtures';
import { gapSentence, gapsOf, gapWords } from './gaps';

// By the clock on the wall, wherever these tests run.
const t = (h: number, m: number, s = 0, ms = 0): number => new Date(2026, 2, 1, h, m, s, ms).getTime();
const now = t(20, 0);

describe('times of which not everything is recorded', () => {
  it('are as the engine tells, and none of an engine that does not', () => {
    const from = new Date(t(14, 3)).toISOString();
    const to = new Date(t(14, 5)).toISOString();
    const interruptions = [
      { from, to },
      { from: 'x', to },
    ];
    expect(gapsOf(usage({ interruptions }))).toEqual([{ from: t(14, 3), to: t(14, 5) }]);
    expect(gapsOf(usage())).toEqual([]);
  });

  it.each([
    [[], null],
    [
      [{ from: t(14, 3, 10, 900), to: t(14, 5, 21, 100) }],
      'Not recorded 14:03:10–14:05:22: the cockpit ended abruptly. Some requests may be missing.',
    ],
    [
      [{ from: t(14, 3, 10, 200), to: t(14, 3, 10, 600) }],
      'Not recorded 14:03:10–14:03:11: the cockpit ended abruptly. Some requests may be missing.',
    ],
    [
      [
        { from: t(9, 0), to: t(9, 1) },
        { from: t(14, 3, 10), to: t(15, 5, 21) },
      ],
      'Not recorded 2 times, last 14:03–15:06: the cockpit ended abruptly. Some requests may be missing.',
    ],
  ])('are told in a sentence: %j', (gaps, text) => expect(gapSentence(gaps, now)).toBe(text));

  it('are told of each step they reach into', () => {
    const gaps = [{ from: t(14, 3), to: t(14, 12) }];
    const words = (from: number, to: number) => gapWords(gaps, { from, to })?.what ?? null;
    expect(words(t(14, 0), t(14, 3))).toBeNull();
    expect(words(t(14, 0), t(14, 5))).toBe('partly not recorded');
    expect(words(t(14, 5), t(14, 10))).toBe('not recorded');
    expect(words(t(14, 10), t(14, 15))).toBe('partly not recorded');
    expect(words(t(14, 12), t(14, 15))).toBeNull();
  });
});
