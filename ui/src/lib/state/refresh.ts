/**
 * Asks again and again while somebody looks: soon after something happened, seldom while nothing does, and
 * never while the page is hidden. By itself it asks one question at a time; what a person asks waits for none
 * that is under way.
 */

export interface Pace {
  /** Between two questions while things happen. */
  busyMs: number;
  /** While they do not. */
  idleMs: number;
}

export class Refresh {
  private timer: ReturnType<typeof setTimeout> | null = null;
  private running = false;
  /** The questions under way. */
  private asking = 0;
  private dirty = false;
  private lastAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly ask: () => Promise<void>,
    private readonly pace: () => Pace,
  ) {}

  /** Asks at once, and from then on. */
  start(): void {
    if (this.running) return;
    this.running = true;
    document.addEventListener('visibilitychange', this.seen);
    this.now();
  }

  stop(): void {
    this.running = false;
    document.removeEventListener('visibilitychange', this.seen);
    this.clear();
  }

  /** Something happened. */
  touch(): void {
    if (this.dirty) return;
    this.dirty = true;
    this.plan();
  }

  /** Something else is asked for. */
  now(): void {
    if (this.running && !document.hidden) void this.run();
  }

  private readonly seen = (): void => {
    if (document.hidden) this.clear();
    else this.plan();
  };

  private clear(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private plan(): void {
    this.clear();
    if (!this.running || this.asking > 0 || document.hidden) return;
    const { busyMs, idleMs } = this.pace();
    const wait = this.lastAt + (this.dirty ? busyMs : idleMs) - Date.now();
    this.timer = setTimeout(() => void this.run(), Math.max(0, wait));
  }

  private async run(): Promise<void> {
    this.clear();
    this.asking += 1;
    this.dirty = false;
    this.lastAt = Date.now();
    try {
      await this.ask();
    } finally {
      this.asking -= 1;
      this.plan();
    }
  }
}
