/**
 * The lines a log view holds: at most `capacity`, the newest kept, each with a number that never
 * changes, so that a list can be drawn by it.
 */

import { plain } from '../text/ansi';
import { compareTimes } from '../text/format';
import type { LogLine, LogStream } from '../types';

export interface Row extends LogLine {
  /** Grows by one. */
  number: number;
  /** The text without colours, in lower case, for searching. */
  haystack: string;
}

export interface LogFilter {
  text: string;
  stream: LogStream | null;
  instance: number | null;
}

export class LogRing {
  private rows: Row[] = [];
  private next = 0;
  /** How many lines fell out at the old end. */
  dropped = 0;

  constructor(readonly capacity = 5_000) {}

  get length(): number {
    return this.rows.length;
  }

  get all(): readonly Row[] {
    return this.rows;
  }

  /**
   * Adds lines. `overlapping`: they may repeat what is there already, because a reconnected stream
   * begins again with the tail; what is not newer than the newest is passed over.
   */
  push(lines: LogLine[], overlapping = false): number {
    const newest = this.rows[this.rows.length - 1];
    let added = 0;
    // A new array each time: who holds the old one can tell that there is more.
    const rows = this.rows.slice();
    for (const line of lines) {
      if (overlapping && newest !== undefined && compareTimes(line.at, newest.at) <= 0) continue;
      rows.push({ ...line, number: this.next, haystack: plain(line.text).toLowerCase() });
      this.next += 1;
      added += 1;
    }
    const over = Math.max(0, rows.length - this.capacity);
    this.rows = over > 0 ? rows.slice(over) : rows;
    this.dropped += over;
    return added;
  }

  filtered(filter: LogFilter): readonly Row[] {
    const needle = filter.text.toLowerCase();
    if (needle === '' && filter.stream === null && filter.instance === null) return this.rows;
    return this.rows.filter(
      (row) =>
        (filter.stream === null || row.stream === filter.stream) &&
        (filter.instance === null || row.instance === filter.instance) &&
        (needle === '' || row.haystack.includes(needle)),
    );
  }
}

/** Where `needle` occurs in `text`, letters of either case alike: `[from, to)` each. */
export function occurrences(text: string, needle: string): [number, number][] {
  if (needle === '') return [];
  const out: [number, number][] = [];
  const hay = text.toLowerCase();
  const low = needle.toLowerCase();
  // A few letters change their length in lower case: then the places would be wrong.
  if (hay.length !== text.length) return [];
  for (let at = hay.indexOf(low); at >= 0; at = hay.indexOf(low, at + low.length)) {
    out.push([at, at + low.length]);
  }
  return out;
}
