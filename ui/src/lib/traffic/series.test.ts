import { describe, expect, it } from 'vitest';

import { group, point, totals, usage } from '../../testing/fixtures';
import {
  areForeignDays,
  COLOURS,
  csv,
  cumulated,
  faultBands,
  faultOf,
  latencies,
  Palette,
  requestBands,
  slices,
  stacked,
  tokenBands,
} from './series';

describe('stacked', () => {
  it('is the whole of each step: what has no colour of its own is one band', () => {
    const costs = [5, 4, 3, 2, 1.5, 1.2, 1.1, 0.7, 0.3];
    const sum = costs.reduce((a, b) => a + b, 0);
    const all = usage({
      totals: totals({ calls: 9, cost_usd: sum }),
      series: [point(0, { calls: 9, cost_usd: sum })],
      groups: costs.map((cost, i) =>
        group(`m${i}`, { cost_usd: cost, calls: 1 }, [point(0, { cost_usd: cost })]),
      ),
    });
    const parts = slices(all, 'cost', new Palette());
    const { bands } = stacked(all, 'cost', parts);
    expect(bands.map((b) => b.label)).toEqual(['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6', 'others']);
    expect(bands.at(-1)?.values[0]).toBeCloseTo(1);
    expect(bands.at(-1)?.total).toBeCloseTo(1);
    expect(bands[0]?.total).toBe(5);
    expect(cumulated(bands).at(-1)?.[0]).toBeCloseTo(sum);
  });

  it('keeps the unknown unknown: a model without a price has no bar, and no zero', () => {
    const all = usage({
      series: [point(0, { calls: 1, cost_usd: null, unpriced_calls: 1 })],
      groups: [
        group('local', { cost_usd: null, calls: 1, unpriced_calls: 1 }, [point(0, { cost_usd: null })]),
      ],
    });
    const parts = slices(all, 'cost', new Palette());
    expect(parts[0]?.value).toBeNull();
    expect(stacked(all, 'cost', parts).bands[0]?.values).toEqual([null]);
  });

  it('names the group of those beyond the largest, and those without a name', () => {
    const all = usage({
      groups: [group(null, { calls: 3 }, []), { ...group(null, { calls: 9 }), rest: true }],
    });
    expect(slices(all, 'calls', new Palette()).map((s) => [s.label, s.key])).toEqual([
      ['the rest', null],
      ['unknown', null],
    ]);
  });
});

describe('a palette', () => {
  it('gives a group the same colour in another order and another company', () => {
    const palette = new Palette();
    const first = palette.assign(['a', 'b', 'c']);
    const [a, b] = [first('a'), first('b')];
    const then = palette.assign(['b', 'x', 'a', 'y']);
    expect([then('a'), then('b')]).toEqual([a, b]);
    expect(new Set(['a', 'b', 'x', 'y'].map(then)).size).toBe(4);
  });

  it('never gives a colour twice at a time, however many have had one', () => {
    const palette = new Palette();
    for (let round = 0; round < 40; round += 1) {
      const keys = Array.from({ length: 12 }, (_, i) => `m${(round * 5 + i * 7) % 31}`);
      const colour = palette.assign(keys);
      const shown = keys.slice(0, COLOURS.length).map(colour);
      expect(new Set(shown).size, `round ${round}`).toBe(COLOURS.length);
      expect(
        keys
          .slice(COLOURS.length)
          .map(colour)
          .every((c) => c === '--other'),
      ).toBe(true);
    }
  });
});

describe('faults', () => {
  it.each([
    ['provider_timeout', 'provider'],
    ['policy_rate_limited', 'policy'],
    ['caller_malformed_request', 'caller'],
    ['gateway_queue_full', 'gateway'],
    ['strange', 'other'],
    ['constructor_x', 'other'],
    [null, 'other'],
  ])('%s is by %s', (code, fault) => expect(faultOf(code)).toBe(fault));

  it('adds up codes of one side, and tells what no group tells', () => {
    const all = usage({
      series: [point(0, { errors: 10 }), point(1, { errors: 0 })],
      groups: [
        group('provider_timeout', { errors: 4 }, [point(0, { errors: 4 }), point(1)]),
        group('provider_overloaded', { errors: 3 }, [point(0, { errors: 3 }), point(1)]),
        group('policy_rate_limited', { errors: 1 }, [point(0, { errors: 1 }), point(1)]),
      ],
    });
    const { bands } = faultBands(all);
    expect(bands.map((b) => [b.key, b.values, b.total])).toEqual([
      ['provider', [7, 0], 7],
      ['policy', [1, 0], 1],
      ['other', [2, 0], 2],
    ]);
  });
});

describe('the other charts', () => {
  const some = {
    calls: 10,
    errors: 2,
    cancelled: 1,
    input_tokens: 100,
    cached_input_tokens: 40,
    output_tokens: 7,
    latency_ms: { p50: 1, p95: 2, p99: 3, exact: true },
  };
  const all = usage({
    totals: totals({ ...some, latency_ms: { ...some.latency_ms, p99: 9 } }),
    series: [point(0, some), point(1)],
  });
  it('divide requests and tokens without counting anything twice', () => {
    expect(requestBands(all).bands.map((b) => b.values[0])).toEqual([2, 1, 7]);
    expect(tokenBands(all).bands.map((b) => b.values[0])).toEqual([60, 40, 7]);
    expect(requestBands(all).bands.map((b) => b.total)).toEqual([2, 1, 7]);
  });
  it('know nothing, which is not zero, of a step that is not recorded', () => {
    const interruptions = [{ from: point(0).at, to: point(2).at }];
    const lost = usage({ interruptions, series: [point(0, some), point(1), point(2)] });
    expect(requestBands(lost).bands.map((b) => b.values)).toEqual([
      [2, null, 0],
      [1, null, 0],
      [7, null, 0],
    ]);
    expect(csv(requestBands(lost), 'requests').split('\r\n')[2]).toMatch(/Z,,,$/);
  });
  it('never add percentiles up, nor make zeros of unknown ones', () => {
    expect(latencies(all).bands.map((b) => b.values)).toEqual([
      [1, null],
      [2, null],
      [3, null],
    ]);
    expect(latencies(all).bands.map((b) => b.total)).toEqual([1, 2, 9]);
    expect(latencies(all, 'ttft_ms').bands[0]?.values).toEqual([null, null]);
  });
});

describe('csv', () => {
  it('has times in UTC, nothing for the unknown, and no formula', () => {
    const text = csv(
      {
        at: [Date.UTC(2026, 2, 1, 12)],
        stepMs: 60_000,
        bands: [
          { key: 'a', label: '=cmd|"x"', colour: '', values: [1.5], total: 1.5 },
          { key: 'b', label: 'b, c', colour: '', values: [null], total: null },
        ],
      },
      'USD',
    );
    expect(text).toBe(
      'from,to,"\'=cmd|""x"" (USD)","b, c (USD)"\r\n2026-03-01T12:00:00.000Z,2026-03-01T12:01:00.000Z,1.5,\r\n',
    );
  });
});

describe('days', () => {
  const DAY = 86_400_000;
  const offsets = (minutes: number[]) => (ms: number) => minutes[ms / DAY] ?? 0;
  it.each([
    [DAY, [0, 0], false],
    [DAY, [-120, -120], true],
    // Where the clocks change in the stretch, some days are one's own.
    [DAY, [0, -60], true],
    [7 * DAY, [300, 300], true],
    [DAY / 2, [-120, -120], false],
  ])('of %d ms with offsets %j are foreign: %s', (stepMs, minutes, foreign) =>
    expect(areForeignDays({ at: [0, DAY], stepMs }, offsets(minutes))).toBe(foreign),
  );
});
