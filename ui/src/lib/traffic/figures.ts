/** The sentence over the traffic, what is judged of it, and what a month will cost. */

import { list, money, number, share, span } from '../text/format';
import type { Tone } from '../text/words';
import type { Breaker, Totals, Usage } from '../types';
import { targetName } from './targets';
import { WINDOW_WORDS, type View } from './view';

/** What is asked of a deployment: P95 to the first piece, and failed requests, in milliseconds and percent. */
export const TARGETS = { latencyMs: 2_000, latencyAlertMs: 5_000, errors: 0.01, errorsAlert: 0.05 } as const;
/** Of fewer requests no ratio means anything. */
const ENOUGH = 20;

export function when(view: View, now: number): string {
  if (view.zoom === null) return `in the last ${WINDOW_WORDS[view.window]}`;
  return `in ${span(view.zoom.from, view.zoom.to, now)}`;
}

/** `1,284 requests in the last 24 hours cost $3.42, 12 of them failed`. */
export function sentence({ totals }: Usage, view: View, now: number): string {
  const { calls, errors, cost_usd, unpriced_calls } = totals;
  if (calls === 0) return `No requests to models ${when(view, now)}`;
  const many = `${number(calls)} request${calls === 1 ? '' : 's'} ${when(view, now)}`;
  const cost =
    cost_usd === null
      ? unpriced_calls > 0
        ? ', none with a known price'
        : ''
      : cost_usd === 0
        ? unpriced_calls > 0
          ? ` cost nothing that is known`
          : ` cost nothing`
        : ` cost ${money(cost_usd)}`;
  const failed = errors === 0 ? '' : calls === 1 ? ', and failed' : `, ${number(errors)} failed`;
  return `${many}${cost}${failed}`;
}

export interface Verdict {
  tone: Tone;
  label: string;
  /** Why, a part each. */
  why: string[];
}

/** How the time to the first piece stands; of answers that are not streamed the whole. */
export function slowness(totals: Totals): { tone: Tone; p95: number | null } {
  const p95 = totals.ttft_ms.p95 ?? totals.latency_ms.p95;
  if (p95 === null || totals.calls < ENOUGH) return { tone: 'idle', p95 };
  return {
    tone: p95 > TARGETS.latencyAlertMs ? 'down' : p95 > TARGETS.latencyMs ? 'warn' : 'ok',
    p95,
  };
}

export function failing(totals: Totals): Tone {
  if (totals.calls < ENOUGH) return 'idle';
  const part = totals.errors / totals.calls;
  return part > TARGETS.errorsAlert ? 'down' : part > TARGETS.errors ? 'warn' : 'ok';
}

export function judge(totals: Totals, breakers: Breaker[]): Verdict {
  const why: string[] = [];
  let worst: Tone = 'ok';
  const worse = (tone: Tone): void => {
    if (tone === 'down' || (tone === 'warn' && worst !== 'down')) worst = tone;
  };
  const open = breakers.filter((b) => b.state !== 'closed').map(targetName);
  if (open.length > 0) {
    worse('warn');
    why.push(
      `${open.length > 3 ? `${open.length} targets` : list(open)} ${open.length === 1 ? 'is' : 'are'} left alone`,
    );
  }
  const errors = failing(totals);
  if (errors === 'down' || errors === 'warn') {
    worse(errors);
    why.push(`${share(totals.errors, totals.calls)} of requests fail; the target is 1 %`);
  }
  const slow = slowness(totals);
  if (slow.tone === 'down' || slow.tone === 'warn') {
    worse(slow.tone);
    why.push(`5 % wait longer than ${((slow.p95 ?? 0) / 1000).toFixed(1)} s; the target is 2 s`);
  }
  if (worst === 'ok' && totals.calls === 0) return { tone: 'idle', label: 'Quiet', why };
  if (worst === 'ok' && totals.calls < ENOUGH) {
    return { tone: 'idle', label: 'Too few to judge', why: [`fewer than ${ENOUGH} requests`] };
  }
  const label = { ok: 'Within targets', warn: 'Off target', down: 'Far off target' }[
    worst as 'ok' | 'warn' | 'down'
  ];
  return { tone: worst, label, why };
}

const DAY = 86_400_000;
/** A pace that is shorter says more of the weekday than of the month. */
const SHORTEST_PACE_DAYS = 3;

export interface Pace {
  /** Of the month so far. */
  spent: number | null;
  /** Of the last seven days. */
  week: Usage;
  now: number;
  monthEnds: number;
}

/**
 * What the month will have cost when the rest of it goes like the last seven days. `null` where that cannot
 * be said: nothing priced, nothing spent yet, or less than three days that are known.
 */
export function forecast({ spent, week, now, monthEnds }: Pace): number | null {
  const cost = week.totals.cost_usd;
  if (spent === null || spent === 0 || cost === null) return null;
  const first = week.series.find((point) => point.calls > 0);
  if (first === undefined) return spent;
  const begins = Math.max(Date.parse(first.at), Date.parse(week.window.from));
  const days = (now - begins) / DAY;
  if (days < SHORTEST_PACE_DAYS) return null;
  return spent + (cost / days) * Math.max(0, (monthEnds - now) / DAY);
}

/** The begins of this day, this month and the next, by the clock on the wall. */
export function periods(now: number): { day: number; month: number; monthEnds: number } {
  const d = new Date(now);
  return {
    day: new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime(),
    month: new Date(d.getFullYear(), d.getMonth(), 1).getTime(),
    monthEnds: new Date(d.getFullYear(), d.getMonth() + 1, 1).getTime(),
  };
}
