/**
 * What the traffic screen knows: sums and series of the stretch that is looked at, the single calls, the
 * breakers and the gateway, asked for while the screen is open and kept for coming back.
 *
 * **Invariants.** An answer to an older question never replaces a newer one's. What is shown stays until the
 * next answer is there. New calls are not put into the list while a person is at it: they wait, counted.
 */

import { ask, Refused } from '../backend';
import type { Cockpit, DatedMark } from '../state/cockpit.svelte';
import { Refresh } from '../state/refresh';
import { time } from '../text/format';
import type { Breaker, Call, Dimension, Event, Gateway, Mark, Problem, Usage } from '../types';
import { Palette } from './series';
import {
  callsQuery,
  type Filter,
  fitting,
  lengthOf,
  spanQuery,
  startView,
  stepFor,
  type View,
  type WindowName,
  WINDOWS,
} from './view';

/** Calls of the first page, and of all there is to scroll through. */
export const CALLS = 100;
export const MOST_CALLS = 1_000;
const MOST_WAITING = 500;
/** Live calls are put into the list no more often than this. */
const LIST_EVERY_MS = 1_000;

/** The longer the stretch, the less a few seconds change it. */
function pace(lengthMs: number): { busyMs: number; idleMs: number } {
  const busyMs = lengthMs <= 3_600_000 ? 4_000 : lengthMs <= 86_400_000 ? 8_000 : 30_000;
  return { busyMs, idleMs: Math.max(20_000, busyMs * 2) };
}

export type By = Exclude<Dimension, 'model' | 'error'>;

export class Traffic {
  view = $state.raw<View>(startView());
  by = $state<By>('user');

  /** What the figures below are of; behind `view` while they are asked for. */
  shown = $state.raw<View>(startView());
  /** Grouped by model, by error, and by what is chosen. */
  models = $state.raw<Usage | null>(null);
  faults = $state.raw<Usage | null>(null);
  groups = $state.raw<{ by: By; usage: Usage } | null>(null);
  breakers = $state.raw<Breaker[]>([]);
  marks = $state.raw<DatedMark[]>([]);

  /** Newest first. */
  calls = $state.raw<Call[] | null>(null);
  limit = $state(CALLS);
  /** How many calls wait until the person leaves the list. */
  held = $state(0);

  /** Why there are no figures; `null` where there are, or none came yet. */
  trouble = $state.raw<Problem | null>(null);
  /** The engine does not know these questions. */
  older = $state(false);

  readonly palette = new Palette();
  private readonly refresh: Refresh;
  private stopListening: (() => void) | null = null;
  private open = false;
  /** Told of the window that suits, while that is still to be found. */
  private onfit: ((window: WindowName) => void) | null = null;
  private asked = 0;
  private callsAsked = 0;
  private waiting: Call[] = [];
  private holding = false;
  private listTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly cockpit: Cockpit) {
    // Which targets are left alone is told on every screen.
    cockpit.listen((event) => {
      if (event.type === 'breaker') void this.loadBreakers();
    });
    this.refresh = new Refresh(
      () => this.load(),
      () => pace(lengthOf(this.view)),
    );
  }

  /** The screen is there. Where nobody chose a window, `onfit` is told of the one that suits. */
  start(view: View, onfit: (window: WindowName) => void): () => void {
    this.view = view;
    this.open = true;
    this.onfit = view.fitted ? onfit : null;
    this.stopListening = this.cockpit.listen((event) => this.hear(event));
    this.refresh.start();
    void this.loadMarks();
    if (this.onfit === null) void this.loadCalls();
    return () => {
      this.open = false;
      this.onfit = null;
      this.refresh.stop();
      this.stopListening?.();
      if (this.listTimer !== null) clearTimeout(this.listTimer);
      this.listTimer = null;
      this.waiting = [];
      this.held = 0;
      this.holding = false;
    };
  }

  /** Another stretch or other calls are looked at. */
  look(view: View): void {
    const before = this.view;
    if (spanQuery(view) === spanQuery(before) && callsQuery(view, 1) === callsQuery(before, 1)) return;
    this.view = view;
    this.limit = CALLS;
    if (spanQuery(view) !== spanQuery(before)) this.refresh.now();
    if (callsQuery(view, 1) !== callsQuery(before, 1)) void this.loadCalls();
  }

  groupBy(by: By): void {
    this.by = by;
    this.refresh.now();
  }

  more(): void {
    this.limit = MOST_CALLS;
    void this.loadCalls();
  }

  /** The engine is back. */
  again(): void {
    this.refresh.now();
    void this.loadCalls();
  }

  private async load(): Promise<void> {
    if (this.cockpit.lostSince !== null) return;
    this.asked += 1;
    const mine = this.asked;
    try {
      await this.fit();
    } catch (error) {
      if (mine === this.asked) this.failed(error);
      return;
    }
    if (mine !== this.asked) return;
    const { view, by } = this;
    const usage = (dimension: Dimension): Promise<Usage> =>
      ask<Usage>(
        this.cockpit.backend,
        'GET',
        `/api/usage?${spanQuery(view)}&step=${stepFor(lengthOf(view))}s&group_by=${dimension}`,
      );
    try {
      const [models, faults, groups, breakers, gateway] = await Promise.all([
        usage('model'),
        usage('error'),
        usage(by),
        ask<Breaker[]>(this.cockpit.backend, 'GET', '/api/breakers'),
        ask<Gateway>(this.cockpit.backend, 'GET', '/api/gateway').catch(() => null),
      ]);
      if (mine !== this.asked) return;
      this.shown = view;
      this.models = models;
      this.faults = faults;
      this.groups = { by, usage: groups };
      this.breakers = breakers;
      if (gateway !== null) this.cockpit.gateway = gateway;
      this.trouble = null;
      this.older = false;
    } catch (error) {
      if (mine === this.asked) this.failed(error);
    }
  }

  /** Finds the window that suits, once for each time the screen is opened and there is something to suit. */
  private async fit(): Promise<void> {
    if (this.onfit === null) return;
    const now = Date.now();
    const usage = (window: WindowName): Promise<Usage> =>
      ask<Usage>(
        this.cockpit.backend,
        'GET',
        `/api/usage?window=${window}&until=${new Date(now).toISOString()}&step=${stepFor(WINDOWS[window])}s`,
      );
    const [day, month] = await Promise.all([usage('24h'), usage('30d')]);
    const { onfit } = this;
    if (day.totals.calls + month.totals.calls > 0) this.onfit = null;
    // Meanwhile a person may have chosen, or another question has found it.
    if (onfit === null || !this.view.fitted) return;
    const window = fitting(day, month, now);
    if (window !== this.view.window) {
      this.view = { ...this.view, window };
      onfit(window);
    }
    void this.loadCalls();
  }

  private async loadCalls(): Promise<void> {
    this.callsAsked += 1;
    const mine = this.callsAsked;
    this.waiting = [];
    this.held = 0;
    try {
      const path = `/api/calls?${callsQuery(this.view, this.limit)}`;
      const { calls } = await ask<{ calls: Call[] }>(this.cockpit.backend, 'GET', path);
      if (mine === this.callsAsked) this.calls = calls;
    } catch (error) {
      if (mine === this.callsAsked) this.failed(error);
    }
  }

  /** The marks of a month are more than the events that are kept at hand. */
  private async loadMarks(): Promise<void> {
    try {
      const events = await ask<Event[]>(this.cockpit.backend, 'GET', '/api/events?limit=1000');
      this.marks = events.flatMap((e) => (e.type === 'mark' ? [{ at: e.at, mark: e as Mark }] : []));
    } catch {
      // The charts are as good without: those at hand are drawn all the same.
    }
  }

  private failed(error: unknown): void {
    if (!(error instanceof Refused)) return;
    if (error.status === 401) this.cockpit.signedOut = true;
    else if (error.status === 404) this.older = true;
    else this.trouble = error.problem;
  }

  // What happens.

  private hear(event: Event): void {
    switch (event.type) {
      case 'calls':
        this.refresh.touch();
        this.take(event.newest);
        break;
      case 'breaker':
      case 'provider':
      case 'budget':
        this.refresh.touch();
        break;
      case 'config':
        this.refresh.now();
        break;
      case 'mark':
        this.marks = [{ at: event.at, mark: event as Mark }, ...this.marks];
        break;
      default:
    }
  }

  async loadBreakers(): Promise<void> {
    try {
      this.breakers = await ask<Breaker[]>(this.cockpit.backend, 'GET', '/api/breakers');
    } catch {
      // The next round asks again.
    }
  }

  private take(newest: Call[]): void {
    const { view } = this;
    if (view.zoom !== null || view.filter.at !== undefined) return;
    const known = new Set([...this.waiting, ...(this.calls ?? []).slice(0, 200)].map((call) => call.id));
    const fresh = newest.filter((call) => fits(call, view.filter) && !known.has(call.id));
    if (fresh.length === 0) return;
    this.waiting = [...fresh, ...this.waiting].slice(0, MOST_WAITING);
    if (this.holding) this.held = this.waiting.length;
    else this.listTimer ??= setTimeout(() => this.show(), LIST_EVERY_MS);
  }

  /** A person is at the list: nothing moves under their hands. */
  hold(on: boolean): void {
    this.holding = on;
    if (!on) this.show();
  }

  /** Puts what waits into the list. */
  show(): void {
    if (this.listTimer !== null) clearTimeout(this.listTimer);
    this.listTimer = null;
    this.held = 0;
    if (this.waiting.length === 0 || this.calls === null || !this.open) return;
    this.calls = [...this.waiting, ...this.calls]
      .sort((a, b) => (time(b.at) ?? 0) - (time(a.at) ?? 0))
      .slice(0, Math.max(this.limit, CALLS));
    this.waiting = [];
  }

  /** Asks a target again at once. */
  async reset(breaker: Breaker): Promise<void> {
    const path = `/api/breakers/${encodeURIComponent(breaker.provider)}/${encodeURIComponent(breaker.model)}/reset`;
    this.breakers = await ask<Breaker[]>(this.cockpit.backend, 'POST', path);
  }
}

/** Whether a call is one of those that are looked at; its time apart. */
export function fits(call: Call, filter: Filter): boolean {
  const { model, provider, route, user, agent, error, outcome } = filter;
  return (
    (model === undefined || call.target === model || call.model === model) &&
    (provider === undefined || call.provider === provider) &&
    (route === undefined || call.route === route) &&
    (user === undefined || call.user === user) &&
    (agent === undefined || call.agent === agent) &&
    (error === undefined || call.error === error) &&
    (outcome === undefined || call.outcome === outcome)
  );
}
