/** Breakers and routes in words. */

import type { Question } from '../state/actions.svelte';
import { durationInWords, time } from '../text/format';
import { spelt, type Tone } from '../text/words';
import type { Breaker, BreakerState, GatewayProvider, InstanceState } from '../types';

interface BreakerWords {
  label: string;
  tone: Tone;
  /** The shape that says the same. */
  shape: InstanceState;
}

const WORDS: Record<BreakerState, BreakerWords> = {
  closed: { label: 'ready', tone: 'ok', shape: 'ready' },
  half_open: { label: 'on trial', tone: 'warn', shape: 'backing_off' },
  open: { label: 'left alone', tone: 'down', shape: 'failing' },
};

export function breakerWords(state: BreakerState): BreakerWords {
  return (WORDS as Partial<Record<string, BreakerWords>>)[state] ?? WORDS.half_open;
}

/** Whether a target is passed over now: its breaker is open, or its provider is not asked at all. */
export function passedOver(
  target: string,
  breakers: ReadonlyMap<string, Breaker>,
  providers: GatewayProvider[],
): boolean {
  const provider = target.slice(0, target.indexOf('/'));
  const down = providers.some((one) => one.name === provider && one.state === 'down');
  return down || breakers.get(target)?.state === 'open';
}

/** The place of the target that a route asks first now; `null` when none is asked. */
export function serving(
  targets: string[],
  breakers: ReadonlyMap<string, Breaker>,
  providers: GatewayProvider[],
): number | null {
  const at = targets.findIndex((target) => !passedOver(target, breakers, providers));
  return at < 0 ? null : at;
}

/** A target as routes and calls name it. */
export function targetName({ provider, model }: Breaker): string {
  return `${provider}/${model}`;
}

export function resetQuestion(breaker: Breaker, now: number, run: () => void): Question {
  const name = targetName(breaker);
  const since = time(breaker.since);
  const lasts = since === null ? '' : ` for ${durationInWords(now - since)}`;
  const retry = time(breaker.retry_at);
  const alone =
    retry === null || retry <= now
      ? 'By itself the cockpit lets one request through to see.'
      : `By itself the cockpit lets one request through in ${durationInWords(retry - now)}, to see.`;
  return {
    title: `Ask ${name} again?`,
    body: [
      `It is left alone${lasts}: ${spelt(breaker.cause)}. ${alone}`,
      'After a reset every request goes to it at once. If it still fails, their callers wait for that, and it is left alone again.',
    ],
    confirm: 'Reset',
    danger: false,
    run,
  };
}
