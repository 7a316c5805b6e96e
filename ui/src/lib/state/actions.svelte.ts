/** What a person asked for and what became of it: phases on the button, an error as a notice. */

import { ask, Refused, Unreachable } from '../backend';
import { actionVerb, dependants, isRunning, stateWords } from '../text/words';
import { list, sentence, time } from '../text/format';
import type { Action, InstanceState, Problem, Service } from '../types';
import type { Cockpit } from './cockpit.svelte';

export interface Pending {
  action: Action;
  startedAt: number;
  done: boolean;
}

export interface Notice {
  id: number;
  tone: 'down' | 'ok';
  title: string;
  detail: string;
  remedy: string;
}

export interface Question {
  title: string;
  /** What will happen, a paragraph each. */
  body: string[];
  confirm: string;
  danger: boolean;
  run: () => void;
}

/** How long `Ready ✓` stays on the button. */
const DONE_MS = 2_200;
const NOTICE_MS = 12_000;

export class Actions {
  pending = $state.raw<Record<string, Pending>>({});
  notices = $state.raw<Notice[]>([]);
  question = $state.raw<Question | null>(null);
  private nextNotice = 0;

  constructor(private readonly cockpit: Cockpit) {}

  /** Does it at once, or asks first where it takes something away. */
  request(service: Service, action: Action): void {
    if (this.blocked(service.name, action)) return;
    if (action === 'stop')
      this.question = stopQuestion(service, this.cockpit.services, () => this.go(service, action));
    else if (action === 'take_over')
      this.question = takeOverQuestion(service, () => this.go(service, action));
    else this.go(service, action);
  }

  /** Whether an action must wait for the one under way. A stop waits for no start: it is how one is given up. */
  blocked(name: string, action: Action): boolean {
    const pending = this.pending[name];
    if (pending === undefined || pending.done) return false;
    return action !== 'stop' || pending.action === 'stop';
  }

  private go(service: Service, action: Action): void {
    void this.run(service.name, action);
  }

  private async run(name: string, action: Action): Promise<void> {
    const mine: Pending = { action, startedAt: Date.now(), done: false };
    this.set(name, mine);
    try {
      const path = `/api/services/${encodeURIComponent(name)}/${action}`;
      this.cockpit.takeService(await ask<Service>(this.cockpit.backend, 'POST', path));
      if (this.pending[name] !== mine) return;
      this.set(name, { action, startedAt: Date.now(), done: true });
      setTimeout(() => {
        if (this.pending[name]?.done === true) this.set(name, null);
      }, DONE_MS);
    } catch (error) {
      // A start that was given up for a stop has failed as it should.
      if (this.pending[name] !== mine) return;
      this.set(name, null);
      this.fail(`${actionVerb(action)} ${name}`, error);
    }
  }

  private set(name: string, pending: Pending | null): void {
    const { [name]: _, ...others } = this.pending;
    this.pending = pending === null ? others : { ...others, [name]: pending };
  }

  async unload(service: string, model: string): Promise<void> {
    const path = `/api/services/${encodeURIComponent(service)}/models/${encodeURIComponent(model)}/unload`;
    await this.try(`Unload ${model}`, async () => {
      this.cockpit.takeService(await ask<Service>(this.cockpit.backend, 'POST', path));
    });
  }

  stopAll(): void {
    const running = this.cockpit.services.filter((s) => s.actions.includes('stop')).map((s) => s.name);
    this.question = {
      title: 'Stop everything?',
      body: [
        running.length === 0
          ? 'No service runs that the cockpit could stop.'
          : `${sentence(list(running))} will be stopped, dependants first.`,
        'Each is remembered as stopped by hand: none starts again by itself, also after a restart of the cockpit.',
      ],
      confirm: 'Stop Everything',
      danger: true,
      run: () => {
        void this.try('Stop everything', async () => {
          await ask(this.cockpit.backend, 'POST', '/api/stop-all');
          await this.cockpit.load();
        });
      },
    };
  }

  stopEngine(): void {
    this.question = {
      title: 'Stop the engine?',
      body: [
        'The services go on running, each under its own shim. Nothing restarts them, probes them or records what they do until an engine runs again; the next one finds them.',
      ],
      confirm: 'Stop the Engine',
      danger: true,
      run: () => {
        void this.try('Stop the engine', () =>
          ask(this.cockpit.backend, 'POST', '/api/engine/stop', { stop_services: false }),
        );
      },
    };
  }

  /** Runs it; an error becomes a notice. */
  async try(what: string, run: () => Promise<unknown>): Promise<boolean> {
    try {
      await run();
      return true;
    } catch (error) {
      this.fail(what, error);
      return false;
    }
  }

  private fail(what: string, error: unknown): void {
    if (error instanceof Refused && error.status === 401) {
      this.cockpit.signedOut = true;
      return;
    }
    const problem: Problem =
      error instanceof Refused
        ? error.problem
        : {
            code: 'unreachable',
            title: error instanceof Unreachable ? 'the engine is not answering' : 'something went wrong',
            detail: error instanceof Error ? error.message : String(error),
          };
    this.notice({
      tone: 'down',
      title: `${what}: ${problem.title}`,
      detail: problem.detail ?? '',
      remedy: problem.remedy ?? '',
    });
  }

  notice(notice: Omit<Notice, 'id'>): void {
    const id = this.nextNotice;
    this.nextNotice += 1;
    this.notices = [...this.notices.slice(-2), { ...notice, id }];
    setTimeout(() => this.dismiss(id), NOTICE_MS);
  }

  dismiss(id: number): void {
    this.notices = this.notices.filter((n) => n.id !== id);
  }
}

function stopQuestion(service: Service, services: Service[], run: () => void): Question {
  const others = dependants(service.name, services).filter((name) => {
    const other = services.find((s) => s.name === name);
    return other !== undefined && isRunning(other.state);
  });
  const body = [
    `${service.name} and every process it started will be ended. It stays stopped until somebody starts it, also after a restart of the cockpit.`,
  ];
  if (others.length > 0) {
    body.push(`${list(others)} ${others.length === 1 ? 'depends' : 'depend'} on it and will be without it.`);
  }
  return { title: `Stop ${service.name}?`, body, confirm: `Stop ${service.name}`, danger: true, run };
}

function takeOverQuestion(service: Service, run: () => void): Question {
  const owner = service.owner_detail ?? 'Another process';
  return {
    title: `Take over ${service.name}?`,
    body: [
      `${owner} runs it now. It will be ended in its owner's own way, and the cockpit starts its own in its place: supervised, with logs and restarts.`,
      'Requests under way are cut. To give it back, stop the service here and start it where it was.',
    ],
    confirm: 'Take Over',
    danger: true,
    run,
  };
}

export interface ButtonFace {
  label: string;
  phase: 'rest' | 'busy' | 'done';
  action: Action | null;
}

/**
 * The one button of a service: its action, or, while something is under way, where it has got to.
 * `pending` is what this page asked for; the state also tells of what others asked for.
 */
export function buttonFace(service: Service, pending: Pending | undefined): ButtonFace {
  // The state often tells before the answer does; without this the button would go back to the verb.
  const arrived = pending !== undefined && (time(service.since) ?? 0) >= pending.startedAt;
  if (pending?.done === true || arrived) {
    const ready = service.state === 'ready' || service.state === 'done' || service.state === 'stopped';
    if (ready) return { label: `${stateWords(service.state).label} ✓`, phase: 'done', action: null };
  }
  const moving = movingLabel(service.state);
  if (pending !== undefined && !pending.done) {
    const asked = {
      restart: 'Restarting…',
      start: 'Starting…',
      stop: 'Stopping…',
      take_over: 'Taking over…',
    };
    return { label: moving ?? asked[pending.action], phase: 'busy', action: null };
  }
  if (moving !== null && service.state !== 'waiting') return { label: moving, phase: 'busy', action: null };
  const action = primaryAction(service);
  if (action === null) return { label: '', phase: 'rest', action };
  return { label: action === 'take_over' ? 'Take Over…' : actionVerb(action), phase: 'rest', action };
}

function movingLabel(state: InstanceState): string | null {
  switch (state) {
    case 'stopping':
      return 'Stopping…';
    case 'starting':
      return 'Starting…';
    case 'waiting':
      return 'Waiting…';
    default:
      return null;
  }
}

/** What the one button does. Taking over only where there is nothing gentler to offer. */
export function primaryAction(service: Service): Action | null {
  for (const action of ['restart', 'start', 'take_over'] as const) {
    if (service.actions.includes(action)) return action;
  }
  return null;
}
