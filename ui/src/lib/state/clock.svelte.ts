/**
 * The one clock of the screens: ticks once a second on the second, so that every figure on the screen
 * changes in the same redraw; stands still while nobody looks.
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

  private timer: ReturnType<typeof setTimeout> | null = null;

  start(): () => void {
    const seen = (): void => {
      if (document.hidden) this.halt();
      else this.tick();
    };
    document.addEventListener('visibilitychange', seen);
    this.tick();
    return () => {
      document.removeEventListener('visibilitychange', seen);
      this.halt();
    };
  }

  private tick = (): void => {
    this.halt();
    this.real = Date.now();
    this.timer = setTimeout(this.tick, 1_000 - (this.real % 1_000) + 2);
  };

  private halt(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}

export const clock = new Clock();
