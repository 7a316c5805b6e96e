/**
 * Figures as people read them. Widths are steady: a figure that changes every second must not move what
 * stands beside it. What is not known is a dash, never a zero.
 */

export const DASH = '–';

/**
 * Sizes are powers of 1024 and say so, here, on the command line (`src-tauri/src/cli/style.rs`) and in the
 * configuration: a figure that is read here can be written there as a limit. (A Mac writes `GB` for both, for
 * memory in powers of 1024 and for disks in powers of 1000.)
 */
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** A figure and its unit apart, for setting them in different sizes. */
export interface Quantity {
  figure: string;
  unit: string;
}

/** Three significant digits: `0 B`, `998 KiB`, `1.42 GiB`, `17.3 GiB`, `128 GiB`. */
export function quantityOfBytes(bytes: number | null | undefined): Quantity {
  if (bytes == null || !Number.isFinite(bytes) || bytes < 0) return { figure: DASH, unit: '' };
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return { figure: value.toFixed(digits), unit: UNITS[unit] ?? '' };
}

export function bytes(value: number | null | undefined): string {
  const { figure, unit } = quantityOfBytes(value);
  return unit === '' ? figure : `${figure} ${unit}`;
}

export function bytesPerSecond(value: number | null | undefined): string {
  const { figure, unit } = quantityOfBytes(value == null ? null : Math.round(value));
  return unit === '' ? figure : `${figure} ${unit}/s`;
}

/** `0.0 %`, `7.4 %`, `42 %`, `312 %`. */
export function percent(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return DASH;
  return `${percentFigure(value)} %`;
}

export function percentFigure(value: number): string {
  return value < 9.95 ? Math.max(0, value).toFixed(1) : Math.round(value).toString();
}

/** A latency: `0.4 ms`, `12 ms`, `1.20 s`, `34 s`. */
export function latency(ms: number | null | undefined): string {
  if (ms == null || !Number.isFinite(ms) || ms < 0) return DASH;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  return s < 9.995 ? `${s.toFixed(2)} s` : s < 99.95 ? `${s.toFixed(1)} s` : `${Math.round(s)} s`;
}

/** A whole number with its thousands apart: `1,284`; from a million on with three digits: `1.28 M`. */
export function number(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return DASH;
  return Math.abs(value) < 999_999.5 ? grouped(Math.round(value)) : short(value);
}

/** A rate: `0.4`, `9.9`, `12`, `1,284`. */
export function figure(value: number): string {
  return value < 9.95 ? value.toFixed(1) : number(value);
}

/** Tokens: `9,999`, `12.4 k`, `1.24 M`, `3.10 B`. */
export function tokens(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return DASH;
  return value < 9_999.5 ? grouped(Math.round(value)) : short(value);
}

function short(value: number): string {
  for (const [unit, size] of [
    ['B', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    // What would round to 1000 of a unit is one of the next.
    if (value >= size * 0.9995) return `${threeDigits(value / size)} ${unit}`;
  }
  return grouped(Math.round(value));
}

function threeDigits(value: number): string {
  return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : grouped(Math.round(value));
}

function grouped(value: number): string {
  return value.toString().replace(/\B(?=(\d{3})+$)/g, ',');
}

/**
 * US dollars. Cents where there are dollars, two digits that count where there are none: `$0`, `$0.0042`,
 * `$0.31`, `$3.42`, `$1,284`. Unknown is a dash, and what is too little to write is not zero.
 */
export function money(usd: number | null | undefined): string {
  if (usd == null || !Number.isFinite(usd)) return DASH;
  if (usd === 0) return '$0';
  if (usd < 0) return `−${money(-usd)}`;
  if (usd < 0.00001) return '<$0.00001';
  if (usd < 0.0995) return `$${usd.toPrecision(2)}`;
  if (usd < 999.995) return `$${usd.toFixed(2)}`;
  return `$${usd < 999_999.5 ? grouped(Math.round(usd)) : short(usd)}`;
}

/** A figure without the zeros that only keep a column steady, for an axis: `$0.01`, `$3.50`, `$4`, `1 s`. */
export function shortest(text: string): string {
  return text.replace(/(\.\d\d\d*?)0+(?=$| )/, '$1').replace(/\.0+(?=$| )/, '');
}

/** All the digits there are, for a single thing: `$0.00001274`. */
export function exactMoney(usd: number | null | undefined): string {
  if (usd == null || !Number.isFinite(usd)) return DASH;
  return `$${usd
    .toFixed(12)
    .replace(/(\.\d\d)?0+$/, '$1')
    .replace(/\.$/, '')}`;
}

/** A share: `0 %`, `0.4 %`, `12 %`; never zero for what is not. */
export function share(part: number, whole: number): string {
  if (!(whole > 0)) return DASH;
  const percent = (part / whole) * 100;
  if (percent === 0) return '0 %';
  if (percent < 0.1) return '<0.1 %';
  return `${percent < 9.95 ? percent.toFixed(1) : Math.min(percent, part < whole ? 99 : 100).toFixed(0)} %`;
}

/** How long something lasts, in its two largest units: `8 s`, `3 m 12 s`, `5 h 02 m`, `12 d 4 h`. */
export function duration(ms: number | null | undefined): string {
  if (ms == null || !Number.isFinite(ms)) return DASH;
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} m ${pad(s % 60)} s`;
  const h = Math.floor(m / 60);
  if (h < 24) return `${h} h ${pad(m % 60)} m`;
  return `${Math.floor(h / 24)} d ${h % 24} h`;
}

/** The same in words, for sentences: `8 seconds`, `3 minutes`, `5 hours`, `12 days`. */
export function durationInWords(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const [n, word] =
    s < 90
      ? [s, 'second']
      : s < 5_400
        ? [Math.round(s / 60), 'minute']
        : s < 129_600
          ? [Math.round(s / 3600), 'hour']
          : [Math.round(s / 86_400), 'day'];
  return `${n} ${word}${n === 1 ? '' : 's'}`;
}

/** What is left until a time: `now`, `4 s`, `2:05`, `1:00:09`. */
export function countdown(until: string | null | undefined, now: number): string {
  const at = time(until);
  if (at === null) return DASH;
  const s = Math.ceil((at - now) / 1000);
  if (s <= 0) return 'now';
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m}:${pad(s % 60)}`;
  return `${Math.floor(m / 60)}:${pad(m % 60)}:${pad(s % 60)}`;
}

/** The same after a verb: `now`, `in 4 s`. */
export function dueIn(until: string, now: number): string {
  const left = countdown(until, now);
  return left === 'now' ? left : `in ${left}`;
}

/** How long since a time: see {@link duration}. */
export function since(at: string | null | undefined, now: number): string {
  const t = time(at);
  return t === null ? DASH : duration(now - t);
}

/** `just now`, `4 s ago`, `12 m ago`, `3 h ago`, `5 d ago`. */
export function ago(at: string | null | undefined, now: number): string {
  const t = time(at);
  if (t === null) return DASH;
  const s = Math.max(0, Math.floor((now - t) / 1000));
  if (s < 2) return 'just now';
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} m ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86_400)} d ago`;
}

/** `14:03:12` in local time, with the day when it is not today's. */
export function clockTime(at: string | number | null | undefined, now: number): string {
  const t = typeof at === 'number' ? at : time(at);
  if (t === null || t === undefined) return DASH;
  const date = new Date(t);
  const hms = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  if (date.toDateString() === new Date(now).toDateString()) return hms;
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${hms}`;
}

/** A stretch of time: `14:05–14:10`, with days where it is not all today. */
export function span(from: number, to: number, now: number): string {
  const [a, b] = [new Date(from), new Date(to)];
  const hm = (d: Date): string => `${pad(d.getHours())}:${pad(d.getMinutes())}`;
  const seconds = (to - from) % 60_000 !== 0 || from % 60_000 !== 0;
  const hms = (d: Date): string => (seconds ? `${hm(d)}:${pad(d.getSeconds())}` : hm(d));
  const today = new Date(now).toDateString();
  if (to - from >= 86_400_000 && hm(a) === '00:00' && hm(b) === '00:00') {
    const last = new Date(to - 1);
    return a.toDateString() === last.toDateString() ? day(a) : `${day(a)} – ${day(last)}`;
  }
  if (a.toDateString() === new Date(to - 1).toDateString())
    return a.toDateString() === today ? `${hms(a)}–${hms(b)}` : `${day(a)}, ${hms(a)}–${hms(b)}`;
  return `${day(a)}, ${hms(a)} – ${day(b)}, ${hms(b)}`;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

/** `3 Mar`. */
export function day(date: Date): string {
  return `${date.getDate()} ${MONTHS[date.getMonth()] ?? ''}`;
}

/** `Today`, `Yesterday`, `3 Mar`, `3 Mar 2025`: the day by the clock on the wall. */
export function dayName(at: string | number | null | undefined, now: number): string | null {
  const t = typeof at === 'number' ? at : time(at);
  if (t === null) return null;
  const [date, today] = [new Date(t), new Date(now)];
  if (date.toDateString() === today.toDateString()) return 'Today';
  const before = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (date.toDateString() === before.toDateString()) return 'Yesterday';
  return date.getFullYear() === today.getFullYear() ? day(date) : `${day(date)} ${date.getFullYear()}`;
}

/** `14:03:12.045`, for log lines. */
export function logTime(at: string): string {
  const t = time(at);
  if (t === null) return at;
  const date = new Date(t);
  const ms = date.getMilliseconds().toString().padStart(3, '0');
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${ms}`;
}

/** Days until a disk is full: `full in 12 days`, `full in 9 hours`. */
export function daysToFull(days: number | null | undefined): string | null {
  if (days == null || !Number.isFinite(days)) return null;
  if (days > 730) return 'years left';
  if (days >= 2) return `full in ${Math.floor(days)} days`;
  const hours = Math.max(1, Math.floor(days * 24));
  return `full in ${hours} hour${hours === 1 ? '' : 's'}`;
}

/** Milliseconds since 1970; `null` for what is no time. */
export function time(at: string | null | undefined): number | null {
  if (at == null) return null;
  const t = Date.parse(at);
  return Number.isNaN(t) ? null : t;
}

/** Orders two RFC 3339 UTC times by all the digits they have (a number keeps only milliseconds). */
export function compareTimes(a: string, b: string): number {
  const byMs = (time(a) ?? 0) - (time(b) ?? 0);
  if (byMs !== 0) return byMs;
  const x = fraction(a);
  const y = fraction(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

function fraction(at: string): string {
  return (/\.(\d+)/.exec(at)?.[1] ?? '').padEnd(9, '0');
}

function pad(n: number): string {
  return n.toString().padStart(2, '0');
}

/** `1 restart`, `2 restarts`. */
export function count(n: number, word: string): string {
  return `${n} ${word}${n === 1 ? '' : 's'}`;
}

/** `a`, `a and b`, `a, b and c`. */
export function list(items: string[]): string {
  if (items.length <= 1) return items.join('');
  return `${items.slice(0, -1).join(', ')} and ${items[items.length - 1] ?? ''}`;
}

/** The first letter as a capital: the engine's sentences begin small. */
export function sentence(text: string): string {
  return text === '' ? text : text.charAt(0).toUpperCase() + text.slice(1);
}
