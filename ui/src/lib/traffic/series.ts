/**
 * What the charts draw, made of what the API answers: columns of equal length, one value a step. Sums are
 * stacked; percentiles are never added up. What is not known stays `null`.
 */

import { time } from '../text/format';
import type { Totals, Usage, UsageGroup, UsagePoint } from '../types';

/** One part of a stack, or one line. */
export interface Band {
  key: string;
  label: string;
  /** The name of a colour in the style sheet. */
  colour: string;
  values: (number | null)[];
}

export interface Columns {
  /** The begins of the steps, Unix milliseconds. */
  at: number[];
  stepMs: number;
  bands: Band[];
}

export type Measure = 'cost' | 'calls' | 'tokens';

export function measured(totals: Totals, measure: Measure): number | null {
  switch (measure) {
    case 'cost':
      return totals.cost_usd;
    case 'calls':
      return totals.calls;
    case 'tokens':
      return totals.input_tokens + totals.output_tokens;
  }
}

export function begins(points: UsagePoint[]): number[] {
  return points.map((point) => time(point.at) ?? 0);
}

/** The colours that tell groups apart; more of them nobody can. */
export const COLOURS = ['--cat-1', '--cat-2', '--cat-3', '--cat-4', '--cat-5', '--cat-6', '--cat-7'] as const;
const OTHERS = '--other';

/**
 * Which group has which colour. A group keeps its colour as long as the page lives: another order or another
 * window must not make a model look like a different one.
 */
export class Palette {
  private readonly given = new Map<string, string>();

  /** The colours of these groups, the largest first; those of groups that are not here may be given again. */
  assign(keys: string[]): (key: string) => string {
    const shown = keys.slice(0, COLOURS.length);
    const taken = new Set(shown.flatMap((key) => this.given.get(key) ?? []));
    for (const key of shown) {
      if (this.given.has(key)) continue;
      const free = COLOURS.find((colour) => !taken.has(colour));
      if (free === undefined) break;
      for (const [other, colour] of this.given) if (colour === free) this.given.delete(other);
      this.given.set(key, free);
      taken.add(free);
    }
    const of = new Map(shown.map((key) => [key, this.given.get(key) ?? OTHERS]));
    return (key) => of.get(key) ?? OTHERS;
  }
}

export interface Slice {
  key: string | null;
  label: string;
  colour: string;
  value: number | null;
  totals: Totals;
}

/** What a group is called. */
export function groupName(group: Pick<UsageGroup, 'key' | 'rest'>, none = 'none'): string {
  return group.rest === true ? 'the rest' : (group.key ?? none);
}

/** The groups by a measure, the largest first, each with its colour. */
export function slices(usage: Usage, measure: Measure, palette: Palette): Slice[] {
  const sorted = [...usage.groups].sort(
    (a, b) => (measured(b, measure) ?? -1) - (measured(a, measure) ?? -1) || b.calls - a.calls,
  );
  const name = (group: UsageGroup): string => groupName(group, 'unknown');
  // Only groups that come with a series can be seen in the chart.
  const colour = palette.assign(sorted.filter((group) => group.series !== undefined).map(name));
  return sorted.map((group) => ({
    key: group.rest === true ? null : group.key,
    label: name(group),
    colour: colour(name(group)),
    value: measured(group, measure),
    totals: group,
  }));
}

/** A measure over time, stacked by group; what has no colour of its own is one band. */
export function stacked(usage: Usage, measure: Measure, parts: Slice[]): Columns {
  const byName = new Map(usage.groups.map((group) => [groupName(group, 'unknown'), group]));
  const bands: Band[] = [];
  for (const part of parts) {
    const series = byName.get(part.label)?.series;
    if (part.colour === OTHERS || series === undefined) continue;
    bands.push({
      key: part.label,
      label: part.label,
      colour: part.colour,
      values: series.map((point) => measured(point, measure)),
    });
  }
  if (parts.length > bands.length) {
    const rest = usage.series.map((point, i) => {
      const whole = measured(point, measure);
      if (whole === null) return null;
      const shown = bands.reduce((sum, band) => sum + (band.values[i] ?? 0), 0);
      // Sums of decimal fractions come out a little beside each other.
      return whole - shown > whole * 1e-9 ? whole - shown : 0;
    });
    bands.push({ key: '', label: 'others', colour: OTHERS, values: rest });
  }
  return { at: begins(usage.series), stepMs: usage.window.step_s * 1000, bands };
}

/** P50, P95 and P99 of whole answers, or of first pieces. */
export function latencies(usage: Usage, of: 'latency_ms' | 'ttft_ms' = 'latency_ms'): Columns {
  const line = (key: 'p50' | 'p95' | 'p99', colour: string): Band => ({
    key,
    label: key.toUpperCase(),
    colour,
    values: usage.series.map((point) => point[of][key]),
  });
  return {
    at: begins(usage.series),
    stepMs: usage.window.step_s * 1000,
    bands: [line('p50', '--p50'), line('p95', '--p95'), line('p99', '--p99')],
  };
}

export function tokenBands(usage: Usage): Columns {
  const band = (key: string, label: string, colour: string, read: (p: UsagePoint) => number): Band => ({
    key,
    label,
    colour,
    values: usage.series.map(read),
  });
  return {
    at: begins(usage.series),
    stepMs: usage.window.step_s * 1000,
    bands: [
      band('input', 'In', '--cat-1', (p) => p.input_tokens - p.cached_input_tokens),
      band('cached', 'In, cached', '--cat-1-soft', (p) => p.cached_input_tokens),
      band('output', 'Out', '--cat-2', (p) => p.output_tokens),
    ],
  };
}

/** Requests by how they ended. */
export function requestBands(usage: Usage): Columns {
  const band = (key: string, label: string, colour: string, read: (p: UsagePoint) => number): Band => ({
    key,
    label,
    colour,
    values: usage.series.map(read),
  });
  return {
    at: begins(usage.series),
    stepMs: usage.window.step_s * 1000,
    bands: [
      band('error', 'Failed', '--down-fill', (p) => p.errors),
      band('cancelled', 'Cancelled', '--idle-fill', (p) => p.cancelled),
      band('ok', 'Answered', '--cat-1', (p) => p.calls - p.errors - p.cancelled),
    ],
  };
}

export type Fault = 'provider' | 'policy' | 'caller' | 'gateway' | 'other';

const FAULTS: Record<Fault, { label: string; colour: string }> = {
  provider: { label: 'Provider', colour: '--down-fill' },
  policy: { label: 'Policy', colour: '--warn-fill' },
  caller: { label: 'Caller', colour: '--cat-2' },
  gateway: { label: 'Cockpit', colour: '--cat-3' },
  other: { label: 'Not told', colour: OTHERS },
};

/** Whose fault an error is: the prefix of its code. */
export function faultOf(code: string | null): Fault {
  const prefix = code?.split('_')[0] ?? '';
  return Object.hasOwn(FAULTS, prefix) && prefix !== 'other' ? (prefix as Fault) : 'other';
}

export function faultWords(fault: Fault): { label: string; colour: string } {
  return FAULTS[fault];
}

/** Failed requests by whose fault, of usage that is grouped by error. */
export function faultBands(usage: Usage): Columns {
  const at = begins(usage.series);
  const sums = new Map<Fault, number[]>();
  const column = (fault: Fault): number[] => {
    const known = sums.get(fault) ?? at.map(() => 0);
    sums.set(fault, known);
    return known;
  };
  const told = at.map(() => 0);
  for (const group of usage.groups) {
    const values = column(faultOf(group.key));
    group.series?.forEach((point, i) => {
      values[i] = (values[i] ?? 0) + point.errors;
      told[i] = (told[i] ?? 0) + point.errors;
    });
  }
  // Only the largest groups come with a series.
  usage.series.forEach((point, i) => {
    const left = point.errors - (told[i] ?? 0);
    if (left > 0) column('other')[i] = (column('other')[i] ?? 0) + left;
  });
  const order: Fault[] = ['provider', 'policy', 'caller', 'gateway', 'other'];
  return {
    at,
    stepMs: usage.window.step_s * 1000,
    bands: order.flatMap((fault) => {
      const values = sums.get(fault);
      return values === undefined ? [] : [{ key: fault, ...FAULTS[fault], values }];
    }),
  };
}

/** The sums of a stack from below, for drawing: the last is the whole. */
export function cumulated(bands: Band[]): (number | null)[][] {
  const length = bands[0]?.values.length ?? 0;
  const sum: (number | null)[] = Array.from({ length }, () => null);
  return bands.map((band) => {
    for (let i = 0; i < length; i += 1) {
      const value = band.values[i];
      if (value != null) sum[i] = (sum[i] ?? 0) + value;
    }
    return [...sum];
  });
}

/** A chart as a table for a spreadsheet: UTC times, and nothing where nothing is known. */
export function csv(columns: Columns, unit: string): string {
  const head = ['from', 'to', ...columns.bands.map((band) => `${band.label} (${unit})`)];
  const rows = columns.at.map((at, i) => [
    new Date(at).toISOString(),
    new Date(at + columns.stepMs).toISOString(),
    ...columns.bands.map((band) => band.values[i]?.toString() ?? ''),
  ]);
  return [head, ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}

/** Names come from callers: none may become a formula, or end its cell. */
function cell(text: string): string {
  const tame = /^[=+\-@\t\r]/.test(text) && !/^-?[\d.]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(tame) ? `"${tame.replaceAll('"', '""')}"` : tame;
}
