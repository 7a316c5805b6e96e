/** Single calls in words. */

import type { Call } from '../types';

/** An error's code as a sentence would have it: `provider_stream_cut` is `stream cut`. */
export function errorWords(code: string | null): string {
  if (code === null) return 'it failed, and nobody told why';
  const rest = code.slice(code.indexOf('_') + 1);
  return (rest === '' ? code : rest).replaceAll('_', ' ');
}

/** How a streamed answer's time divides into waiting and writing; `null` where that is not known. */
export function shares(call: Call): { wait: number; write: number } | null {
  const { ttft_ms: wait, latency_ms: whole } = call;
  return wait === null || whole === null || whole < wait ? null : { wait, write: whole - wait };
}
