/**
 * The log of one service as it grows: the tail of what was there, then each line as it comes. Lines come in
 * bursts; they are taken together, ten times a second at most.
 */

import { type Backend, follow, type Link } from '../backend';
import type { LogLine } from '../types';
import { type LogFilter, LogRing, type Row } from './log-ring';

const TAKE_EVERY_MS = 100;
/** What was there before comes within this of the connection. */
const SETTLES_MS = 500;

export class LogFeed {
  link = $state.raw<Link>({ state: 'connecting' });
  /** Whether what was there already had its time to come. */
  settled = $state(false);

  private readonly ring = new LogRing(5_000);
  /** Bumped when the ring changed: the ring itself is too large to be watched line by line. */
  private version = $state(0);
  private waiting: LogLine[] = [];
  private overlapping = false;
  private taking: ReturnType<typeof setTimeout> | null = null;

  /** `dropped` is told how many lines fell out at the old end. */
  constructor(
    private readonly backend: Backend,
    private readonly dropped: (lines: number) => void,
  ) {}

  get length(): number {
    void this.version;
    return this.ring.length;
  }

  rows(filter: LogFilter): readonly Row[] {
    void this.version;
    return this.ring.filtered(filter);
  }

  start(service: string): () => void {
    let settling: ReturnType<typeof setTimeout> | null = null;
    const path = `/api/services/${encodeURIComponent(service)}/logs?tail=500&follow=true`;
    const following = follow(this.backend, path, {
      message: (message) => {
        try {
          const parsed = JSON.parse(message.data) as LogLine | LogLine[];
          this.waiting.push(...(Array.isArray(parsed) ? parsed : [parsed]));
        } catch {
          return;
        }
        this.taking ??= setTimeout(() => this.take(), TAKE_EVERY_MS);
      },
      link: (to) => {
        this.link = to;
        if (to.state !== 'live') return;
        // What the last connection brought is not part of what this one repeats.
        if (this.taking !== null) {
          clearTimeout(this.taking);
          this.take();
        }
        this.overlapping = this.ring.length > 0;
        settling ??= setTimeout(() => (this.settled = true), SETTLES_MS);
      },
    });
    return () => {
      following.close();
      if (this.taking !== null) clearTimeout(this.taking);
      if (settling !== null) clearTimeout(settling);
    };
  }

  private take(): void {
    this.taking = null;
    const before = this.ring.dropped;
    this.ring.push(this.waiting, this.overlapping);
    this.overlapping = false;
    this.waiting = [];
    this.version += 1;
    if (this.ring.dropped > before) this.dropped(this.ring.dropped - before);
  }
}
