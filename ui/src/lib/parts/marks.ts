/**
 * What happened, on charts: restarts, sleeps and starts of the engine as vertical lines with a flag, times of
 * which not everything is recorded as hatched bands.
 */

import type uPlot from 'uplot';

import type { DatedMark } from '../state/cockpit.svelte';
import { time } from '../text/format';
import { eventWords } from '../text/words';
import type { Event } from '../types';

export function drawMarks(u: uPlot, marks: DatedMark[], colour: string): void {
  const { left, top, width, height: h } = u.bbox;
  const ratio = devicePixelRatio || 1;
  u.ctx.save();
  u.ctx.strokeStyle = colour;
  u.ctx.fillStyle = colour;
  u.ctx.globalAlpha = 0.75;
  u.ctx.lineWidth = ratio;
  u.ctx.setLineDash([3 * ratio, 3 * ratio]);
  for (const mark of marks) {
    const t = time(mark.at);
    if (t === null) continue;
    const x = Math.round(u.valToPos(t / 1000, 'x', true)) + 0.5;
    if (x < left || x > left + width) continue;
    u.ctx.beginPath();
    u.ctx.moveTo(x, top);
    u.ctx.lineTo(x, top + h);
    u.ctx.stroke();
    u.ctx.beginPath();
    u.ctx.moveTo(x - 3.5 * ratio, top);
    u.ctx.lineTo(x + 3.5 * ratio, top);
    u.ctx.lineTo(x, top + 5 * ratio);
    u.ctx.fill();
  }
  u.ctx.restore();
}

/** A band that is thinner than this is not seen; in pixels of the style sheet. */
const THINNEST = 5;
const HATCH = 6;

/** In Unix milliseconds; to be drawn first, so that what is recorded stands before it. */
export function drawGaps(u: uPlot, gaps: { from: number; to: number }[], colour: string): void {
  const { left, top, width, height } = u.bbox;
  const ratio = devicePixelRatio || 1;
  for (const gap of gaps) {
    const begin = u.valToPos(gap.from / 1000, 'x', true);
    const end = Math.max(begin + THINNEST * ratio, u.valToPos(gap.to / 1000, 'x', true));
    if (end < left || begin > left + width) continue;
    const a = Math.round(Math.max(left, Math.min(begin, left + width - THINNEST * ratio)));
    const b = Math.round(Math.min(left + width, end));
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(a, top, b - a, height);
    u.ctx.clip();
    u.ctx.strokeStyle = colour;
    u.ctx.globalAlpha = 0.45;
    u.ctx.lineWidth = ratio;
    u.ctx.beginPath();
    for (let x = a - height; x < b; x += HATCH * ratio) {
      u.ctx.moveTo(x, top + height);
      u.ctx.lineTo(x + height, top);
    }
    u.ctx.rect(a + ratio / 2, top - ratio, b - a - ratio, height + 2 * ratio);
    u.ctx.stroke();
    u.ctx.restore();
  }
}

/** The mark nearest to a time, no farther than `reach`, in words. */
export function markNear(marks: DatedMark[], t: number, reach: number): string | null {
  let near: DatedMark | undefined;
  let nearest = reach;
  for (const mark of marks) {
    const away = Math.abs((time(mark.at) ?? Number.POSITIVE_INFINITY) - t);
    if (away > nearest) continue;
    nearest = away;
    near = mark;
  }
  if (near === undefined) return null;
  const words = eventWords({ seq: 0, at: near.at, type: 'mark', ...near.mark } as Event);
  return `${words.service ?? ''} ${words.text}`.trim();
}
