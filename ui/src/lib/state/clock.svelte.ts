/**
 * The one clock of the screens. It ticks once a second, and while figures come it ticks with them: so
 * everything that changes with time changes in the same redraw. It stands still while nobody looks.
 */
class Clock {
  /** The time of day. */
  real = $state(Date.now());
  /** While the engine does not answer: the last moment anything was known. */
  frozen = $state<number | null>(null);

  /** What is shown is as of this time: an uptime nobody confirms must not go on counting. */
  get now(): number {
    return this.frozen ?? this.real;
  }

  /** When this day began. Rows that say times need not be written anew each second. */
  readonly today = $derived(new Date(this.now).setHours(0, 0, 0, 0));

  private running = false;
  private timer: ReturnType<typeof setTimeout> | null = null;

  start(): () => void {
    const seen = (): void => {
      if (document.hidden) this.halt();
      else this.tick(1_000);
    };
    document.addEventListener('visibilitychange', seen);
    this.running = true;
    this.tick(1_000);
    return () => {
      document.removeEventListener('visibilitychange', seen);
      this.running = false;
      this.halt();
    };
  }

  /** Figures are shown now. The next are waited for a little longer than they take. */
  beat(): void {
    if (this.running && !document.hidden) this.tick(1_250);
  }

  private tick(nextMs: number): void {
    this.halt();
    const now = Date.now();
    // Ticks come a little early or late; the seconds that are shown follow one another all the same.
    const expected = this.real + 1_000;
    this.real = Math.abs(now - expected) < 500 ? expected : now;
    this.timer = setTimeout(() => this.tick(1_000), nextMs);
  }

  private halt(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}

export const clock = new Clock();
