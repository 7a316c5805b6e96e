/** Marks on charts: restarts, sleeps, starts of the engine, as vertical lines with a flag. */

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
