/** Single calls in words. */

import { clockTime, day, sentence } from '../text/format';
import type { Tone } from '../text/words';
import type { Call } from '../types';
import { faultOf } from './series';

/** An error's code as a sentence would have it: `provider_stream_cut` is `stream cut`. */
export function errorWords(code: string | null): string {
  if (code === null) return 'it failed, and nobody told why';
  const rest = code.slice(code.indexOf('_') + 1);
  // That an error is an error says nothing.
  return (rest === '' || rest === 'error' ? code : rest).replaceAll('_', ' ');
}

export function outcomeWords(call: Call): { label: string; tone: Tone } {
  switch (call.outcome) {
    case 'ok':
      return { label: call.cache_hit ? 'From the cache' : 'Answered', tone: 'ok' };
    case 'cancelled':
      return { label: 'Cancelled', tone: 'idle' };
    case 'error':
      return {
        label: sentence(errorWords(call.error)),
        tone: faultOf(call.error) === 'provider' ? 'down' : 'warn',
      };
  }
}

/** Who was asked. Whoever is refused before somebody could be has no target. */
export function targetWords(call: Call): string {
  return call.target === '' ? 'nobody' : call.target;
}

/** How a streamed answer's time divides into waiting and writing; `null` where that is not known. */
export function shares(call: Call): { wait: number; write: number } | null {
  const { ttft_ms: wait, latency_ms: whole } = call;
  return wait === null || whole === null || whole < wait ? null : { wait, write: whole - wait };
}

/** In and out together; `null` where neither is known. */
export function allTokens({ input_tokens, output_tokens }: Call): number | null {
  return input_tokens === null && output_tokens === null ? null : (input_tokens ?? 0) + (output_tokens ?? 0);
}

/** When it was: to the second of today, to the minute before. */
export function callTime(at: string, today: number): string {
  const text = clockTime(at, today);
  return text.length === 8 ? text : `${day(new Date(at))}, ${text.slice(11, 16)}`;
}

/** The words of a search, each of which must be somewhere in a call. */
export function searchTerms(query: string): string[] {
  return query.toLowerCase().split(/\s+/).filter(Boolean);
}

export function matches(call: Call, terms: string[]): boolean {
  if (terms.length === 0) return true;
  const { id, target, requested_model, route, user, agent, key, error, finish_reason, tags } = call;
  const text = [id, target, requested_model, route, user, agent, key, error, finish_reason, ...tags]
    .join(' ')
    .toLowerCase();
  return terms.every((term) => text.includes(term));
}
