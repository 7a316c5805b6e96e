import { describe, expect, it } from 'vitest';

import { call } from '../../testing/fixtures';
import {
  allTokens,
  callTime,
  errorWords,
  matches,
  outcomeWords,
  searchTerms,
  shares,
  targetWords,
} from './calls';

describe('a call in words', () => {
  it.each([
    ['provider_stream_cut', 'stream cut'],
    ['provider_error', 'provider error'],
    ['strange', 'strange'],
    ['odd_', 'odd '],
    [null, 'it failed, and nobody told why'],
  ])('%s is `%s`', (code, words) => expect(errorWords(code)).toBe(words));

  it('says how it ended, and a vendor’s failure is worse than a caller’s', () => {
    expect(outcomeWords(call())).toEqual({ label: 'Answered', tone: 'ok' });
    expect(outcomeWords(call({ cache_hit: true })).label).toBe('From the cache');
    expect(outcomeWords(call({ outcome: 'cancelled' })).tone).toBe('idle');
    const failed = (error: string) => outcomeWords(call({ outcome: 'error', error }));
    expect(failed('provider_timeout')).toEqual({ label: 'Timeout', tone: 'down' });
    expect(failed('caller_malformed_request').tone).toBe('warn');
  });

  it('names its target, if anybody was asked', () => {
    expect(targetWords(call())).toBe('openai/gpt-4o');
    expect(targetWords(call({ target: '' }))).toBe('nobody');
  });

  it('has a time to the second today, to the minute before', () => {
    const today = new Date(2026, 2, 1).getTime();
    expect(callTime(new Date(2026, 2, 1, 9, 5, 7).toISOString(), today)).toBe('09:05:07');
    expect(callTime(new Date(2026, 1, 28, 9, 5, 7).toISOString(), today)).toBe('28 Feb, 09:05');
  });

  it('makes no sum of what is not known', () => {
    expect(allTokens(call())).toBe(1_500);
    expect(allTokens(call({ output_tokens: null }))).toBe(1_200);
    expect(allTokens(call({ input_tokens: null, output_tokens: null }))).toBeNull();
    expect(shares(call())).toEqual({ wait: 300, write: 1_200 });
    expect(shares(call({ ttft_ms: 2_000 }))).toBeNull();
  });
});

describe('a search', () => {
  it('finds each of its words anywhere, in any case', () => {
    const found = (query: string) => matches(call({ user: 'Grace', agent: null }), searchTerms(query));
    expect(['', '  ', 'grace GPT-4O', 'night 7d00'].map(found)).toEqual([true, true, true, true]);
    expect(['grace bob', 'null', 'undefined'].map(found)).toEqual([false, false, false]);
  });
});
