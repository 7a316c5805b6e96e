/**
 * What the charts draw, made of what the API answers: columns of equal length, one value a step. Sums are
 * stacked; percentiles are never added up. What is not known stays `null`.
 */

import { latency, money, number, time, tokens } from '../text/format';
import type { Totals, Usage, UsageGroup } from '../types';
import { coveredBy, gapsOf } from './gaps';

/** One part of a stack, or one line. */
export interface Band {
  key: string;
  label: string;
  /** The name of a colour in the style sheet. */
  colour: string;
  values: (number | null)[];
  /** Of the whole stretch. */
  total: number | null;
}

export interface Columns {
  /** The begins of the steps, Unix milliseconds. */
  at: number[];
  stepMs: number;
  bands: Band[];
}

/** What is read of a step is read of the whole too. */
function band(
  usage: Usage,
  key: string,
  label: string,
  colour: string,
  read: (of: Totals) => number | null,
): Band {
  return { key, label, colour, values: usage.series.map(read), total: read(usage.totals) };
}

/** Of a step that is not recorded nothing is known, which is not zero. */
function columns(usage: Usage, bands: Band[]): Columns {
  const at = usage.series.map((point) => time(point.at) ?? 0);
  const stepMs = usage.window.step_s * 1000;
  const gaps = gapsOf(usage);
  const known = usage.series.map(
    (point, i) => point.calls > 0 || !coveredBy(gaps, { from: at[i] ?? 0, to: (at[i] ?? 0) + stepMs }),
  );
  const values = (band: Band): Band['values'] => band.values.map((value, i) => (known[i] ? value : null));
  return { at, stepMs, bands: bands.map((band) => ({ ...band, values: values(band) })) };
}

const DAY_MS = 86_400_000;

/** Whether the steps are days that begin elsewhere than at midnight here: the engine counts those of UTC. */
export function areForeignDays(
  { at, stepMs }: Pick<Columns, 'at' | 'stepMs'>,
  offset = (ms: number): number => new Date(ms).getTimezoneOffset(),
): boolean {
  return stepMs % DAY_MS === 0 && at.some((ms) => offset(ms) !== 0);
}

export type Measure = 'cost' | 'calls' | 'tokens';

/** How figures of a kind are written and drawn. */
export interface Scale {
  unit: string;
  show: (value: number | null) => string;
  /** The least an axis reaches up to. */
  least: number;
}

export const SCALES: Record<Measure | 'latency', Scale> = {
  cost: { unit: 'USD', show: money, least: 0.0001 },
  calls: { unit: 'requests', show: number, least: 4 },
  tokens: { unit: 'tokens', show: tokens, least: 100 },
  latency: { unit: 'ms', show: latency, least: 10 },
};

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
      total: part.value,
    });
  }
  if (parts.length > bands.length) {
    const left = (of: Totals, shown: (band: Band) => number | null | undefined): number | null => {
      const whole = measured(of, measure);
      if (whole === null) return null;
      const rest = whole - bands.reduce((sum, band) => sum + (shown(band) ?? 0), 0);
      // Sums of decimal fractions come out a little beside each other.
      return rest > whole * 1e-9 ? rest : 0;
    };
    bands.push({
      key: '',
      label: 'others',
      colour: OTHERS,
      values: usage.series.map((point, i) => left(point, (band) => band.values[i])),
      total: left(usage.totals, (band) => band.total),
    });
  }
  return columns(usage, bands);
}

/** P50, P95 and P99 of whole answers, or of first pieces. */
export function latencies(usage: Usage, of: 'latency_ms' | 'ttft_ms' = 'latency_ms'): Columns {
  return columns(
    usage,
    (['p50', 'p95', 'p99'] as const).map((p) =>
      band(usage, p, p.toUpperCase(), `--${p}`, (totals) => totals[of][p]),
    ),
  );
}

export function tokenBands(usage: Usage): Columns {
  return columns(usage, [
    band(usage, 'input', 'In', '--cat-1', (of) => of.input_tokens - of.cached_input_tokens),
    band(usage, 'cached', 'In, cached', '--cat-1-soft', (of) => of.cached_input_tokens),
    band(usage, 'output', 'Out', '--cat-2', (of) => of.output_tokens),
  ]);
}

/** Requests by how they ended. */
export function requestBands(usage: Usage): Columns {
  return columns(usage, [
    band(usage, 'error', 'Failed', '--down-fill', (of) => of.errors),
    band(usage, 'cancelled', 'Cancelled', '--idle-fill', (of) => of.cancelled),
    band(usage, 'ok', 'Answered', '--cat-1', (of) => of.calls - of.errors - of.cancelled),
  ]);
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
  const sums = new Map<Fault, number[]>();
  const add = (fault: Fault, i: number, errors: number): void => {
    const column = sums.get(fault) ?? usage.series.map(() => 0);
    sums.set(fault, column);
    column[i] = (column[i] ?? 0) + errors;
  };
  // Only the largest groups come with a series: what none of them tells is left.
  const left = usage.series.map((point) => point.errors);
  for (const group of usage.groups) {
    group.series?.forEach((point, i) => {
      add(faultOf(group.key), i, point.errors);
      left[i] = (left[i] ?? 0) - point.errors;
    });
  }
  left.forEach((errors, i) => {
    if (errors > 0) add('other', i, errors);
  });
  return columns(
    usage,
    (Object.keys(FAULTS) as Fault[]).flatMap((fault) => {
      const values = sums.get(fault);
      if (values === undefined) return [];
      return [{ key: fault, ...FAULTS[fault], values, total: values.reduce((a, b) => a + b, 0) }];
    }),
  );
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
