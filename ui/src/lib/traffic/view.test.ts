import { describe, expect, it } from 'vitest';

import { href, parsePlace } from '../state/route.svelte';
import {
  callsQuery,
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
