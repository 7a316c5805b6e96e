import { describe, expect, it } from 'vitest';

import { at, NOW, point, totals, usage } from '../../testing/fixtures';

import { href, parsePlace } from '../state/route.svelte';
import {
  callsQuery,
  fitting,
  formatView,
  moved,
  parseView,
  spanQuery,
  startView,
  stepFor,
  type View,
  WINDOWS,
  zoomOf,
} from './view';

const full: View = {
  window: '7d',
  zoom: { from: 1_700_000_000_000, to: 1_700_000_600_000 },
  filter: {
    model: 'hf.co/me/model:q4&x=1',
    user: 'ada@example.com',
    error: 'provider_timeout',
    outcome: 'error',
    at: { from: 1_700_000_000_000, to: 1_700_000_060_000 },
  },
};

describe('the address', () => {
  it('holds all that is looked at', () => {
    expect(parseView(formatView(full))).toEqual(full);
    expect(parsePlace(href({ screen: 'traffic', view: full }))).toEqual({ screen: 'traffic', view: full });
  });
  it('leaves out what it does not understand', () => {
    const view = parseView('window=9y&zoom=5-4&at=x&outcome=maybe&model=&__proto__=1&user=ada');
    expect(view.zoom).toBeNull();
    expect(view.filter).toEqual({ user: 'ada' });
  });
  it('names no window that nobody chose, so that another may fit when it is read again', () => {
    const view: View = { window: '1h', fitted: true, zoom: null, filter: {} };
    expect(href({ screen: 'traffic', view })).toBe('#/traffic');
    expect(startView()).toEqual(view);
    expect(parsePlace('#/traffic?user=ada')).toEqual({
      screen: 'traffic',
      view: { ...view, filter: { user: 'ada' } },
    });
  });
  it('remembers the window for coming back', () => {
    parseView('window=30d');
    expect(startView()).toEqual({ window: '30d', zoom: null, filter: {} });
    expect(parsePlace('#/traffic')).toEqual({ screen: 'traffic', view: startView() });
  });
});

describe('another stretch', () => {
  it('is of the same calls, but not of the step that was picked in the one before', () => {
    const { at: _, ...filter } = full.filter;
    expect(moved(full, { window: '1h', zoom: null })).toEqual({ window: '1h', zoom: null, filter });
  });
});

describe('the window nobody chose', () => {
  const HOUR = 3_600_000;
  /** Usage with one call in each of the steps that began so many hours ago. */
  const of = (stepHours: number, ...hoursAgo: number[]) => ({
    ...usage({
      totals: totals({ calls: hoursAgo.length }),
      series: hoursAgo.map((hours) => ({ ...point(0, { calls: 1 }), at: at(-hours * HOUR) })),
    }),
    window: { from: at(-24 * HOUR), to: at(0), step_s: stepHours * 3_600 },
  });
  const fits = (day: number[], month: number[]) => fitting(of(0.25, ...day), of(24, ...month), NOW);

  it('is a day where nothing was asked yet, or for longer than a few hours', () => {
    expect(fits([], [])).toBe('24h');
    expect(fits([5, 0.1], [5, 0.1])).toBe('24h');
  });
  it('is an hour where all there is began a little while ago, and goes on', () => {
    expect(fits([0.5, 0.2], [20, 0])).toBe('1h');
    expect(fits([2.8, 0.2], [20, 0])).toBe('1h');
    expect(fits([2.8, 2.2], [20, 0])).toBe('24h');
  });
  it('is a day where there was more before that', () => {
    expect(fits([0.5, 0.2], [700, 20, 0])).toBe('24h');
  });
  it('reaches back to where something was', () => {
    expect(fits([], [300, 100])).toBe('7d');
    expect(fits([], [300])).toBe('30d');
  });
  it('is chosen once a person takes another', () => {
    const view: View = { window: '1h', fitted: true, zoom: null, filter: {} };
    expect(moved(view, { window: '7d' })).toEqual({ window: '7d', zoom: null, filter: {} });
    expect(moved(view, { zoom: { from: 1, to: 2 } }).fitted).toBe(true);
  });
});

describe('what is asked', () => {
  it('is a window until now, or a stretch until then', () => {
    expect(spanQuery({ window: '1h', zoom: null, filter: {} })).toBe('window=1h');
    expect(spanQuery(full)).toBe('window=600000ms&until=2023-11-14T22:23:20.000Z');
  });
  it('is, of calls, those of the step that was picked, encoded', () => {
    expect(callsQuery(full, 100)).toBe(
      'window=60000ms&until=2023-11-14T22:14:20.000Z&limit=100&model=hf.co%2Fme%2Fmodel%3Aq4%26x%3D1&user=ada%40example.com&error=provider_timeout&outcome=error',
    );
  });
  it('has never more than a hundred steps, and never steps of nothing', () => {
    for (const length of [60_000, 90_000, ...Object.values(WINDOWS), 400 * 86_400_000]) {
      const step = stepFor(length);
      expect(step).toBeGreaterThanOrEqual(1);
      expect(length / 1000 / step, `${length} ms in ${step} s`).toBeLessThanOrEqual(100);
    }
  });
  it('is whole minutes of what was dragged over, one at least', () => {
    expect(zoomOf(61_000, 61_500)).toEqual({ from: 60_000, to: 120_000 });
    expect(zoomOf(59_999, 180_001)).toEqual({ from: 0, to: 240_000 });
  });
});
