/**
 * What the screens know: services, verdict, machine and events, fed by one snapshot and the event
 * stream after it.
 *
 * **Invariants.** A change of state is shown at once; figures are shown at most once a second. Data is
 * never taken away because the engine went: it stays, greyed, with the time it is from. A snapshot never
 * overwrites what the stream brought while it was under way.
 */

import { ask, type Backend, follow, type Following, type Link, Refused, Unreachable } from '../backend';
import type { Message } from '../backend/backend';
import { time } from '../text/format';
import { isHistory } from '../text/words';
import type { Event, Gateway, HostSample, HostView, Mark, Series, Service, Status } from '../types';
import { clock } from './clock.svelte';
import { EMPTY_SERIES, extend } from './host-series';

const MAX_EVENTS = 200;
const MAX_MARKS = 100;
/** The machine is sampled every second: a stream this silent comes from an engine that hangs. */
const SILENT_MS = 8_000;
/** A connection that takes this long to open is no connection. */
const OPENING_MS = 3_000;
/** Figures are redrawn no more often than this. */
const FIGURES_EVERY_MS = 1_000;
/** What one tick of the engine measures comes as several messages; so long they are gathered. */
const GATHER_MS = 40;
/** The charts get a new point with each step of their series, and no later than this. */
const POINT_AFTER_MS = 10_000;

export const WINDOWS = { '15m': 900_000, '1h': 3_600_000, '24h': 86_400_000 } as const;
export type WindowName = keyof typeof WINDOWS;

export interface DatedMark {
  at: string;
  mark: Mark;
}

export class Cockpit {
  services = $state.raw<Service[]>([]);
  status = $state.raw<Status | null>(null);
  host = $state.raw<HostSample | null>(null);
  series = $state.raw<Series>(EMPTY_SERIES);
  /** Newest first. */
  events = $state.raw<Event[]>([]);
  marks = $state.raw<DatedMark[]>([]);
  window = $state<WindowName>('1h');
  /** How requests to models are steered; `null` where that is not known. */
  gateway = $state.raw<Gateway | null>(null);

  link = $state.raw<Link>({ state: 'connecting' });
  /** Since when the engine does not answer; `null` while it does. */
  lostSince = $state<number | null>(null);
  /** When the last message or answer came. */
  heardAt = $state<number | null>(null);
  /** Whether the first snapshot is there. */
  loaded = $state(false);
  /** Whether a token is asked for. */
  signedOut = $state(false);

  private readonly listeners = new Set<(event: Event) => void>();
  private following: Following | null = null;
  private loading: Promise<void> | null = null;
  private again = false;
  /** Names the stream spoke of while a snapshot was under way. */
  private touched = new Set<string>();

  private waiting = new Map<string, Service>();
  private waitingHost: HostSample | null = null;
  private figuresTimer: ReturnType<typeof setTimeout> | null = null;
  private figuresAt = 0;
  private watchTimer: ReturnType<typeof setInterval> | null = null;
  private watchedAt = 0;
  private openingSince: number | null = null;

  constructor(readonly backend: Backend) {}

  start(): void {
    this.stop();
    this.following = follow(this.backend, '/api/events/stream', {
      message: (message) => this.message(message),
      link: (link) => this.linked(link),
    });
  }

  stop(): void {
    this.following?.close();
    this.following = null;
    this.rest();
  }

  /** Nothing is to be shown or watched; the snapshot that comes next has all that waits. */
  private rest(): void {
    if (this.figuresTimer !== null) clearTimeout(this.figuresTimer);
    this.figuresTimer = null;
    this.waiting.clear();
    this.waitingHost = null;
    if (this.watchTimer !== null) clearInterval(this.watchTimer);
    this.watchTimer = null;
  }

  /** Notices an engine that keeps its connections and says nothing. */
  private watch(): void {
    const now = Date.now();
    const slept = now - this.watchedAt > 5_000;
    this.watchedAt = now;
    // After a sleep of this page or the machine the silence is ours.
    if (slept) {
      if (this.openingSince !== null) this.openingSince = now;
      if (this.heardAt !== null) this.heardAt = now;
      return;
    }
    if (this.link.state === 'live' && this.heardAt !== null && now - this.heardAt > SILENT_MS) {
      this.lostSince ??= this.heardAt;
    } else if (this.openingSince !== null && now - this.openingSince > OPENING_MS) {
      this.lostSince ??= this.openingSince;
    }
  }

  retryNow(): void {
    this.following?.retryNow();
  }

  signIn(token: string): void {
    this.backend.signIn?.(token);
    this.signedOut = false;
    this.start();
  }

  service(name: string): Service | undefined {
    return this.services.find((s) => s.name === name);
  }

  /** Tells of every event as it comes, until the answer is called. */
  listen(hear: (event: Event) => void): () => void {
    this.listeners.add(hear);
    return () => this.listeners.delete(hear);
  }

  setWindow(window: WindowName): void {
    this.window = window;
    void this.loadHost();
  }

  // The connection.

  private linked(link: Link): void {
    this.link = link;
    this.openingSince = link.state === 'connecting' ? Date.now() : null;
    if (link.state === 'paused') this.rest();
    else this.watchTimer ??= setInterval(() => this.watch(), 1_000);
    switch (link.state) {
      case 'live':
        this.heard();
        void this.load();
        break;
      case 'lost':
        this.lostSince ??= Date.now();
        break;
      case 'refused':
        if (link.status === 401) this.signedOut = true;
        else this.lostSince ??= Date.now();
        break;
      case 'paused':
      case 'connecting':
        break;
    }
  }

  /** `heardAt` also tells a silent engine from one that was never there. */
  private heard(): void {
    this.heardAt = Date.now();
    this.lostSince = null;
  }

  // The snapshot.

  /** Loads everything; called while a load runs, it runs once more after. */
  load(): Promise<void> {
    if (this.loading !== null) {
      this.again = true;
      return this.loading;
    }
    this.loading = this.snapshot().finally(() => {
      this.loading = null;
      if (this.again) {
        this.again = false;
        void this.load();
      }
    });
    return this.loading;
  }

  private async snapshot(): Promise<void> {
    this.touched.clear();
    try {
      const [status, services, events, gateway] = await Promise.all([
        ask<Status>(this.backend, 'GET', '/api/status'),
        ask<Service[]>(this.backend, 'GET', '/api/services'),
        // The engine works without its database; the screens work without its history.
        ask<Event[]>(this.backend, 'GET', '/api/events?limit=100').catch(softly<Event[]>([])),
        // An older engine does not know the question.
        ask<Gateway | null>(this.backend, 'GET', '/api/gateway').catch(softly<Gateway | null>(null)),
        this.loadHost(),
      ]);
      if (!this.touched.has('status:')) this.status = status;
      const byName = new Map(this.services.map((s) => [s.name, s]));
      this.services = services.map((s) => (this.touched.has(s.name) ? (byName.get(s.name) ?? s) : s));
      this.addHistory(events);
      this.gateway = gateway;
      this.loaded = true;
      this.heard();
    } catch (error) {
      this.failed(error);
    }
  }

  private async loadHost(): Promise<void> {
    const window = this.window;
    try {
      const view = await ask<HostView>(this.backend, 'GET', `/api/host?window=${window}&points=600`);
      if (window !== this.window) return;
      const { series, ...now } = view;
      this.series = series;
      this.host = now;
    } catch (error) {
      this.failed(error);
    }
  }

  private failed(error: unknown): void {
    if (error instanceof Refused && error.status === 401) this.signedOut = true;
    else if (error instanceof Unreachable) this.lostSince ??= Date.now();
  }

  // The stream.

  private message(message: Message): void {
    let event: Event;
    try {
      event = JSON.parse(message.data) as Event;
    } catch {
      return;
    }
    this.heard();
    this.apply(event);
  }

  apply(event: Event): void {
    for (const hear of this.listeners) hear(event);
    switch (event.type) {
      case 'service':
        this.touched.add(event.service.name);
        this.takeService(event.service);
        break;
      case 'service_removed':
        this.touched.add(event.service);
        this.waiting.delete(event.service);
        this.services = this.services.filter((s) => s.name !== event.service);
        break;
      case 'status':
        this.touched.add('status:');
        this.status = event.status;
        break;
      case 'host':
        this.waitingHost = event.host;
        this.schedule();
        break;
      case 'gap':
        void this.load();
        break;
      case 'config':
        // The event says that, the status says what: with its place, its mistakes and remarks.
        this.addHistory([event]);
        void this.load();
        break;
      default:
        this.addHistory([event]);
    }
  }

  /** What an action answered; newer than anything shown. */
  takeService(service: Service): void {
    const known = this.services.find((s) => s.name === service.name);
    if (known !== undefined && stateKey(known) === stateKey(service)) {
      this.waiting.set(service.name, service);
      this.schedule();
      return;
    }
    this.waiting.delete(service.name);
    this.services =
      known === undefined
        ? [...this.services, service]
        : this.services.map((s) => (s.name === service.name ? service : s));
    // A new one stands where the configuration has it, which only the list tells.
    if (known === undefined && this.loaded) void this.load();
  }

  private addHistory(events: Event[]): void {
    const fresh = events.filter(isHistory);
    if (fresh.length === 0) return;
    const seen = new Set(this.events.map((e) => e.seq));
    const added = fresh.filter((e) => !seen.has(e.seq));
    if (added.length === 0) return;
    const merged = [...added, ...this.events].sort((a, b) => b.seq - a.seq);
    this.events = merged.slice(0, MAX_EVENTS);
    this.marks = merged
      .flatMap((e) => (e.type === 'mark' ? [{ at: e.at, mark: e as Mark }] : []))
      .slice(0, MAX_MARKS);
  }

  private schedule(): void {
    if (this.figuresTimer !== null) return;
    const wait = Math.max(GATHER_MS, this.figuresAt + FIGURES_EVERY_MS - Date.now());
    this.figuresTimer = setTimeout(() => this.flush(), wait);
  }

  /** Shows the figures that wait. */
  flush(): void {
    if (this.figuresTimer !== null) clearTimeout(this.figuresTimer);
    this.figuresTimer = null;
    this.figuresAt = Date.now();
    if (this.waiting.size > 0) {
      this.services = this.services.map((s) => this.waiting.get(s.name) ?? s);
      this.waiting.clear();
    }
    if (this.waitingHost !== null) {
      this.host = this.waitingHost;
      if (isDue(this.series, this.host)) {
        this.series = extend(this.series, this.host, this.services, WINDOWS[this.window]);
      }
      this.waitingHost = null;
    }
    clock.beat();
  }
}

/** Whether a sample would move the charts: within a step they are not drawn anew. */
function isDue(series: Series, sample: HostSample): boolean {
  const last = series.at_ms[series.at_ms.length - 1];
  // Samples come a little early or late.
  return (
    last === undefined || (time(sample.at) ?? 0) - last >= Math.min(series.step_ms, POINT_AFTER_MS) - 100
  );
}

/** What of a service must be shown at once when it changes: everything but figures. */
function stateKey(service: Service): string {
  return JSON.stringify([
    service.state,
    service.since,
    service.cause,
    service.owner,
    service.manual_stop,
    service.actions,
    service.version,
    service.instances.map((i) => [i.state, i.pid, i.next_attempt_at, i.last_exit?.at]),
    service.detail?.models?.map((m) => [m.name, m.loaded]),
    service.detail?.containers?.map((c) => [c.name, c.state, c.health]),
    service.detail?.checks?.map((c) => [c.name, c.ok]),
    service.detail?.remedy,
  ]);
}

/** Only what makes the whole snapshot pointless is passed on. */
function softly<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof Refused && error.status !== 401) return instead;
    throw error;
  };
}
