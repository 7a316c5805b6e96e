/**
 * What of the traffic is looked at: the window, the part of it that was zoomed into, and which single calls.
 * It stands in the address, so that Back, reload and links work.
 */

import { time } from '../text/format';
import type { Outcome, Usage } from '../types';

export const WINDOWS = {
  '1h': 3_600_000,
  '24h': 86_400_000,
  '7d': 604_800_000,
  '30d': 2_592_000_000,
} as const;
export type WindowName = keyof typeof WINDOWS;
export const WINDOW_WORDS: Record<WindowName, string> = {
  '1h': 'hour',
  '24h': '24 hours',
  '7d': '7 days',
  '30d': '30 days',
};

/** Unix milliseconds; the end is excluded. */
export interface Span {
  from: number;
  to: number;
}

/** What single calls must be like. */
export interface Filter {
  model?: string;
  provider?: string;
  route?: string;
  user?: string;
  agent?: string;
  key?: string;
  error?: string;
  outcome?: Outcome;
  /** Those of one step of a chart. */
  at?: Span;
}

export interface View {
  window: WindowName;
  /** Nobody chose the window: it suits what was recorded. */
  fitted?: true;
  zoom: Span | null;
  filter: Filter;
}

export const FILTER_TEXTS = ['model', 'provider', 'route', 'user', 'agent', 'key', 'error'] as const;

/** The window that was looked at last, for coming back, and whether a person chose it. */
let remembered: { window: WindowName; chosen: boolean } = { window: '24h', chosen: false };

export function startView(): View {
  const { window, chosen } = remembered;
  return { window, ...(chosen ? {} : { fitted: true }), zoom: null, filter: {} };
}

/** Of what began later than this, a day shows a sliver. */
const YOUNG_MS = 3 * WINDOWS['1h'];

/**
 * The window to begin with where nobody chose one: a day; an hour while there is little more than that; more
 * than a day where that is empty. Of the usage of a day and of a month until `now`.
 */
export function fitting(day: Usage, month: Usage, now: number): WindowName {
  const busy = (usage: Usage): number[] =>
    usage.series.flatMap((point) => (point.calls > 0 ? [time(point.at) ?? 0] : []));
  if (day.totals.calls === 0) {
    const last = busy(month).at(-1);
    if (last === undefined) return '24h';
    return last >= now - WINDOWS['7d'] ? '7d' : '30d';
  }
  const steps = busy(day);
  const young =
    month.totals.calls <= day.totals.calls &&
    (steps[0] ?? 0) >= now - YOUNG_MS &&
    (steps.at(-1) ?? 0) + day.window.step_s * 1000 > now - WINDOWS['1h'];
  return young ? '1h' : '24h';
}

/** Reads `?window=7d&zoom=…&user=ada`; what it does not understand it leaves out. */
export function parseView(query: string): View {
  const given = new URLSearchParams(query);
  const view = startView();
  const window = given.get('window');
  if (window !== null && Object.hasOwn(WINDOWS, window)) {
    view.window = window as WindowName;
    delete view.fitted;
    remembered = { window: view.window, chosen: true };
  }
  view.zoom = parseSpan(given.get('zoom'));
  for (const name of FILTER_TEXTS) {
    const text = given.get(name);
    if (text) view.filter[name] = text;
  }
  const outcome = given.get('outcome');
  if (outcome === 'ok' || outcome === 'error' || outcome === 'cancelled') view.filter.outcome = outcome;
  const at = parseSpan(given.get('at'));
  if (at !== null) view.filter.at = at;
  return view;
}

export function formatView(view: View): string {
  remembered = { window: view.window, chosen: !view.fitted };
  const out = new URLSearchParams();
  // What fits now need not fit when the address is read again.
  if (!view.fitted) out.set('window', view.window);
  if (view.zoom !== null) out.set('zoom', formatSpan(view.zoom));
  setTexts(out, view.filter);
  if (view.filter.at !== undefined) out.set('at', formatSpan(view.filter.at));
  return out.toString();
}

function setTexts(out: URLSearchParams, filter: Filter): void {
  for (const name of [...FILTER_TEXTS, 'outcome'] as const) {
    const text = filter[name];
    if (text !== undefined) out.set(name, text);
  }
}

function formatSpan({ from, to }: Span): string {
  return `${from}-${to}`;
}

function parseSpan(text: string | null): Span | null {
  const match = /^(\d{1,14})-(\d{1,14})$/.exec(text ?? '');
  const [from, to] = [Number(match?.[1]), Number(match?.[2])];
  return from < to ? { from, to } : null;
}

/** Another stretch, with the calls of all of it. */
export function moved(view: View, to: Partial<Omit<View, 'filter'>>): View {
  const { at: _, ...filter } = view.filter;
  const next: View = { ...view, ...to, filter };
  if (to.window !== undefined) delete next.fitted;
  return next;
}

/** The shortest stretch that is worth a look of its own. */
const SHORTEST_MS = 60_000;

/** A stretch that was dragged over, as whole minutes. */
export function zoomOf(from: number, to: number): Span {
  const a = Math.floor(from / SHORTEST_MS) * SHORTEST_MS;
  return { from: a, to: Math.max(a + SHORTEST_MS, Math.ceil(to / SHORTEST_MS) * SHORTEST_MS) };
}

const STEPS_S = [1, 5, 15, 60, 300, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400];
/** More bars than this are thinner than anybody can point at. */
const MOST_BARS = 96;

/** The length of a step that suits, in seconds. */
export function stepFor(lengthMs: number): number {
  // Of a month days are compared, not their halves.
  if (lengthMs > 14 * 86_400_000) return lengthMs / 86_400_000 <= MOST_BARS ? 86_400 : 604_800;
  return STEPS_S.find((step) => lengthMs / 1000 / step <= MOST_BARS) ?? 604_800;
}

/** What is asked of `/api/usage` and `/api/calls` for a stretch that ends now or then. */
export function spanQuery(view: View, only?: Span): string {
  const span = only ?? view.zoom;
  if (span === null) return `window=${view.window}`;
  return `window=${span.to - span.from}ms&until=${new Date(span.to).toISOString()}`;
}

export function lengthOf(view: View): number {
  return view.zoom === null ? WINDOWS[view.window] : view.zoom.to - view.zoom.from;
}

/** The query of the single calls that are looked at. */
export function callsQuery(view: View, limit: number): string {
  const out = new URLSearchParams();
  setTexts(out, view.filter);
  const rest = out.toString();
  return `${spanQuery(view, view.filter.at)}&limit=${limit}${rest === '' ? '' : `&${rest}`}`;
}
