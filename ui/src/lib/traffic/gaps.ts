/** Times of which not everything is recorded: an engine ended abruptly, and the next one started later. */

import { span, time } from '../text/format';
import type { Usage } from '../types';
import type { Span } from './view';

const WHY = 'the cockpit ended abruptly';

/** Oldest first. */
export function gapsOf(usage: Usage): Span[] {
  return (usage.interruptions ?? []).flatMap((one) => {
    const [from, to] = [time(one.from), time(one.to)];
    return from === null || to === null || to < from ? [] : [{ from, to }];
  });
}

/** What is said of a step; `null` where all of it is recorded. */
export function gapWords(gaps: Span[], step: Span): { what: string; why: string } | null {
  if (!gaps.some((gap) => gap.from < step.to && gap.to > step.from)) return null;
  return { what: coveredBy(gaps, step) ? 'not recorded' : 'partly not recorded', why: `: ${WHY}` };
}

/** Whether nothing of a step is recorded. */
export function coveredBy(gaps: Span[], step: Span): boolean {
  return gaps.some((gap) => gap.from <= step.from && gap.to >= step.to);
}

/** `Not recorded 14:03:10–14:05:22: the cockpit ended abruptly. Some requests may be missing.` */
export function gapSentence(gaps: Span[], now: number): string | null {
  const last = gaps[gaps.length - 1];
  if (last === undefined) return null;
  const often = gaps.length === 1 ? '' : `${gaps.length} times, last `;
  return `Not recorded ${often}${gapSpan(last, now)}: ${WHY}. Some requests may be missing.`;
}

/** Whole seconds of a short one, whole minutes of a long one, never less than it was. */
function gapSpan({ from, to }: Span, now: number): string {
  const unit = to - from < 600_000 ? 1_000 : 60_000;
  const begin = Math.floor(from / unit) * unit;
  return span(begin, Math.max(begin + unit, Math.ceil(to / unit) * unit), now);
}
