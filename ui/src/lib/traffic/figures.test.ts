import { describe, expect, it } from 'vitest';

import { breaker, NOW, point, totals, usage } from '../../testing/fixtures';
import { failing, forecast, judge, periods, sentence, slowness } from './figures';
import type { View } from './view';

const day: View = { window: '24h', zoom: null, filter: {} };

describe('the sentence', () => {
  it.each([
    [{}, 'No requests to models in the last 24 hours'],
    [
      { calls: 1284, cost_usd: 3.42, errors: 12 },
      '1,284 requests in the last 24 hours cost $3.42, 12 failed',
    ],
    [{ calls: 1, cost_usd: 0.004, errors: 0 }, '1 request in the last 24 hours cost $0.0040'],
    [{ calls: 1, cost_usd: 0, errors: 1 }, '1 request in the last 24 hours cost nothing, and failed'],
    [
      { calls: 8, cost_usd: null, unpriced_calls: 8 },
      '8 requests in the last 24 hours, none with a known price',
    ],
    [
      { calls: 8, cost_usd: 0, unpriced_calls: 3 },
      '8 requests in the last 24 hours cost nothing that is known',
    ],
  ])('of %o', (of, text) => expect(sentence(usage({ totals: totals(of) }), day, NOW)).toBe(text));
});

describe('judging', () => {
  const slow = (p95: number) => ({ p50: 1, p95, p99: p95, exact: true });
  it('leaves fewer than twenty requests alone', () => {
    expect(failing(totals({ calls: 19, errors: 19 }))).toBe('idle');
    expect(failing(totals({ calls: 20, errors: 20 }))).toBe('down');
  });
  it('is by more than 1 % and more than 5 %', () => {
    expect(failing(totals({ calls: 100, errors: 1 }))).toBe('ok');
    expect(failing(totals({ calls: 100, errors: 2 }))).toBe('warn');
    expect(failing(totals({ calls: 100, errors: 5 }))).toBe('warn');
    expect(failing(totals({ calls: 100, errors: 6 }))).toBe('down');
  });
  it('is by the first token where answers are streamed, by the whole where they are not', () => {
    expect(slowness(totals({ calls: 50, ttft_ms: slow(900), latency_ms: slow(30_000) })).tone).toBe('ok');
    expect(slowness(totals({ calls: 50, latency_ms: slow(30_000) })).tone).toBe('down');
    expect(slowness(totals({ calls: 50, ttft_ms: slow(2_001) })).tone).toBe('warn');
    expect(slowness(totals({ calls: 50 })).p95).toBeNull();
  });
  it('names what stands out, the worst first in its tone', () => {
    const verdict = judge(totals({ calls: 100, errors: 20 }), [breaker({ state: 'open' }), breaker()]);
    expect(verdict.tone).toBe('down');
    expect(verdict.why).toEqual(['openai/gpt-4o is left alone', '20 % of requests fail; the target is 1 %']);
    expect(judge(totals({ calls: 100 }), []).label).toBe('Within targets');
    expect(judge(totals({ calls: 3 }), []).label).toBe('Too few to judge');
    expect(judge(totals(), []).label).toBe('Quiet');
  });
});

describe('the forecast', () => {
  const DAY = 86_400_000;
  const week = (cost: number | null, firstDaysAgo: number) =>
    usage({
      window: {
        from: new Date(NOW - 7 * DAY).toISOString(),
        to: new Date(NOW).toISOString(),
        step_s: 21_600,
      },
      totals: totals({ calls: 10, cost_usd: cost }),
      series: [
        { ...point(0), at: new Date(NOW - 7.2 * DAY).toISOString() },
        { ...point(0, { calls: 5 }), at: new Date(NOW - firstDaysAgo * DAY).toISOString() },
      ],
    });
  const monthEnds = NOW + 10 * DAY;

  it('goes on at the pace of the last seven days', () => {
    expect(forecast({ spent: 30, week: week(14, 6.99), now: NOW, monthEnds })).toBeCloseTo(30 + 20, 1);
  });
  it('takes the pace of the days that are known, of three at least', () => {
    expect(forecast({ spent: 12, week: week(12, 4), now: NOW, monthEnds })).toBeCloseTo(12 + 30);
    expect(forecast({ spent: 12, week: week(12, 2.9), now: NOW, monthEnds })).toBeNull();
  });
  it('says nothing where nothing is priced, and what was spent where nothing goes on', () => {
    expect(forecast({ spent: null, week: week(12, 5), now: NOW, monthEnds })).toBeNull();
    expect(forecast({ spent: 5, week: week(null, 5), now: NOW, monthEnds })).toBeNull();
    const quiet = usage({ totals: totals({ cost_usd: 0 }) });
    expect(forecast({ spent: 5, week: quiet, now: NOW, monthEnds })).toBe(5);
  });
  it('says nothing while nothing is spent: neither zero nor last month’s pace', () => {
    const free = usage({ totals: totals({ calls: 40, cost_usd: 0 }) });
    expect(forecast({ spent: 0, week: free, now: NOW, monthEnds })).toBeNull();
    expect(forecast({ spent: 0, week: week(0, 6), now: NOW, monthEnds })).toBeNull();
    expect(forecast({ spent: 0, week: week(14, 6), now: NOW, monthEnds })).toBeNull();
  });
  it('knows its periods by the clock on the wall', () => {
    const { day, month, monthEnds: ends } = periods(new Date(2026, 11, 31, 23, 59).getTime());
    expect(new Date(day)).toEqual(new Date(2026, 11, 31));
    expect(new Date(month)).toEqual(new Date(2026, 11, 1));
    expect(new Date(ends)).toEqual(new Date(2027, 0, 1));
  });
});
