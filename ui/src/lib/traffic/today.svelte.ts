/** What requests to models came to today and this month, for the overview. */

import { ask, Refused } from '../backend';
import type { Cockpit } from '../state/cockpit.svelte';
import { Refresh } from '../state/refresh';
import type { Usage } from '../types';
import { forecast, periods } from './figures';

export class Today {
  day = $state.raw<Usage | null>(null);
  month = $state.raw<Usage | null>(null);
  /** What the month will have cost; `null` where that cannot be said. */
  forecast = $state<number | null>(null);

  private readonly refresh: Refresh;

  constructor(private readonly cockpit: Cockpit) {
    this.refresh = new Refresh(
      () => this.load(),
      () => ({ busyMs: 10_000, idleMs: 60_000 }),
    );
  }

  start(): () => void {
    const stop = this.cockpit.listen((event) => {
      if (event.type === 'calls' || event.type === 'budget') this.refresh.touch();
    });
    this.refresh.start();
    return () => {
      stop();
      this.refresh.stop();
    };
  }

  private async load(): Promise<void> {
    if (this.cockpit.lostSince !== null) return;
    const now = Date.now();
    const { day, month, monthEnds } = periods(now);
    const usage = (query: string): Promise<Usage> =>
      ask<Usage>(this.cockpit.backend, 'GET', `/api/usage?${query}`);
    const since = (from: number): string => `window=${Math.max(1_000, now - from)}ms`;
    try {
      // All at once: a month that is older than its last day would be the smaller of the two.
      const [today, whole, week] = await Promise.all([
        usage(`${since(day)}&step=1h`),
        usage(`${since(month)}&step=1d`),
        usage('window=7d&step=6h'),
      ]);
      this.day = today;
      this.month = whole;
      this.forecast = forecast({ spent: whole.totals.cost_usd, week, now, monthEnds });
    } catch (error) {
      // An older engine, or one whose ledger cannot be read: there is nothing to show, and it is told elsewhere.
      if (error instanceof Refused && error.status === 401) this.cockpit.signedOut = true;
    }
  }
}
