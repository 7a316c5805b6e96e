/** States, owners, kinds and events in the words a person reads. */

import type { Action, Event, Exit, InstanceState, Owner, Service, VerdictState } from '../types';
import { bytes, compareTimes, count, duration, money, sentence } from './format';

/** What colour and weight a state gets. The shape is the state's own, see `StateMark.svelte`. */
export type Tone = 'ok' | 'busy' | 'warn' | 'down' | 'idle';

interface StateWords {
  label: string;
  tone: Tone;
}

const STATES: Record<InstanceState, StateWords> = {
  ready: { label: 'Ready', tone: 'ok' },
  done: { label: 'Done', tone: 'ok' },
  starting: { label: 'Starting', tone: 'busy' },
  waiting: { label: 'Waiting', tone: 'busy' },
  stopping: { label: 'Stopping', tone: 'busy' },
  degraded: { label: 'Degraded', tone: 'warn' },
  backing_off: { label: 'Backing off', tone: 'warn' },
  failing: { label: 'Failing', tone: 'down' },
  crash_looping: { label: 'Crash looping', tone: 'down' },
  missing: { label: 'Not installed', tone: 'down' },
  stopped: { label: 'Stopped', tone: 'idle' },
  unknown: { label: 'Unknown', tone: 'idle' },
};

export function stateWords(state: InstanceState): StateWords {
  // An engine newer than this page may know more states.
  return (STATES as Partial<Record<string, StateWords>>)[state] ?? { label: sentence(state), tone: 'idle' };
}

const VERDICTS: Record<VerdictState, StateWords> = {
  well: { label: 'All well', tone: 'ok' },
  busy: { label: 'Busy', tone: 'busy' },
  degraded: { label: 'Degraded', tone: 'warn' },
  down: { label: 'Down', tone: 'down' },
  unknown: { label: 'Unknown', tone: 'idle' },
};

export function verdictWords(state: VerdictState): StateWords {
  return (VERDICTS as Partial<Record<string, StateWords>>)[state] ?? VERDICTS.unknown;
}

export function isBroken(state: InstanceState): boolean {
  return ['degraded', 'failing', 'backing_off', 'crash_looping', 'missing'].includes(state);
}

export function isRunning(state: InstanceState): boolean {
  return ['starting', 'ready', 'degraded', 'failing', 'stopping'].includes(state);
}

const OWNERS: Record<Owner, string> = {
  cockpit: 'Studio Cockpit',
  'ollama-app': 'Ollama.app',
  homebrew: 'Homebrew',
  launchd: 'launchd',
  systemd: 'systemd',
  docker: 'Docker',
  remote: 'another machine',
  other: 'another process',
};

export function ownerName(owner: Owner): string {
  return (OWNERS as Partial<Record<string, string>>)[owner] ?? owner;
}

const KINDS: Record<string, string> = {
  command: 'Command',
  task: 'Task',
  ollama: 'Ollama',
  supabase: 'Supabase',
  node: 'Node.js',
  postgres: 'PostgreSQL',
  cloudflared: 'Cloudflared',
  tailscale: 'Tailscale',
  url: 'URL',
};

export function kindName(kind: string): string {
  return KINDS[kind] ?? kind;
}

/** What it is and in which version. */
export function programName({ kind, version }: Pick<Service, 'kind' | 'version'>): string {
  const name = kindName(kind);
  if (version === null) return name;
  // What tells its version may name itself: not `Node.js Node 22.12.1`.
  const own = `${name.split(/[ .]/)[0] ?? ''} `;
  const named = version.toLowerCase().startsWith(own.toLowerCase());
  return `${name} ${named ? version.slice(own.length) : version}`;
}

/** Where it is asked; and on which port it is itself, if something stands before it. */
export function serviceAddress(service: Service): string | null {
  const [only, ...more] = service.instances;
  const port = more.length === 0 ? (only?.port ?? null) : null;
  const behind = service.listen !== null && port !== null && !service.listen.endsWith(`:${port}`);
  return behind ? `${service.listen} → ${port}` : service.listen;
}

export function actionVerb(action: Action): string {
  return { start: 'Start', stop: 'Stop', restart: 'Restart', take_over: 'Take over' }[action];
}

/** `exit code 1`, `SIGKILL`. */
export function exitWords(exit: Exit): string {
  if (exit.signal !== null) return exit.signal;
  return exit.code === null ? 'exit unknown' : `exit code ${exit.code}`;
}

/** Whether an exit is one that a person need not wonder about. */
export function exitIsClean(exit: Exit): boolean {
  return exit.code === 0;
}

/** What happened once has shapes of its own, beside those of the states. */
export type Shape = InstanceState | 'restarted';

export interface EventWords {
  tone: Tone;
  /** A state whose shape stands before the line, where one fits. */
  state: Shape | null;
  /** The service it is about. */
  service: string | null;
  text: string;
  /** The cause, or what else there is to say. */
  more: string;
}

/** What was done about personal data. */
const PII_DONE: Record<string, string> = {
  observe: 'went on as written',
  redact: 'went on without it',
  block: 'stopped',
};

/** An event as a line. The service's name is apart, for linking it. */
export function eventWords(event: Event): EventWords {
  const line = (
    tone: Tone,
    state: Shape | null,
    service: string | null,
    text: string,
    more = '',
  ): EventWords => ({ tone, state, service, text, more });

  switch (event.type) {
    case 'instance_state': {
      const { label, tone } = stateWords(event.to);
      const said = label.toLowerCase();
      // `waiting for db` says that it waits: not `waiting · waiting for db`.
      return event.cause.startsWith(`${said} `)
        ? line(tone, event.to, event.service, event.cause)
        : line(tone, event.to, event.service, said, event.cause);
    }
    case 'instance_exit':
      return line(
        event.expected || exitIsClean(event.exit) ? 'idle' : 'down',
        event.expected ? 'stopped' : 'backing_off',
        event.service,
        event.exit.signal !== null ? `ended by ${event.exit.signal}` : `ended with ${exitWords(event.exit)}`,
        event.expected ? `pid ${event.pid}, as asked` : `pid ${event.pid}`,
      );
    case 'instance_started':
      return line(
        'busy',
        'starting',
        event.service,
        event.adopted ? 'found running again' : 'started',
        `pid ${event.pid}`,
      );
    case 'service_down':
      return line('down', 'crash_looping', event.service, 'is down', event.cause);
    case 'service_recovered':
      return line('ok', 'ready', event.service, 'is well again', `after ${duration(event.down_ms)}`);
    case 'memory_limit':
      return line(
        'warn',
        'degraded',
        event.service,
        event.action === 'restart' ? 'over its memory limit, restarting' : 'over its memory limit',
        `${bytes(event.used_bytes)} of ${bytes(event.limit_bytes)}`,
      );
    case 'mark':
      switch (event.mark) {
        case 'restart':
          return line('busy', 'restarted', event.service, 'restarted by hand');
        case 'slept':
          return line('idle', 'waiting', null, `The machine slept for ${duration(event.slept_ms)}`);
        case 'deploy':
          return line(
            'busy',
            'done',
            null,
            [event.what ?? 'Something', event.version, 'was deployed'].filter(Boolean).join(' '),
          );
        case 'engine_started':
          return line(
            'idle',
            'done',
            null,
            `Engine ${event.version} started`,
            event.adopted > 0 ? `${count(event.adopted, 'running service')} found again` : '',
          );
        default:
          // An engine newer than this page may know more marks.
          return line('idle', 'done', null, sentence((event as { mark: string }).mark.replaceAll('_', ' ')));
      }
    case 'config':
      return line(
        event.ok ? 'idle' : 'warn',
        event.ok ? 'done' : 'degraded',
        null,
        event.ok ? 'Configuration applied' : 'Configuration refused',
        event.summary,
      );
    case 'cockpit':
      return line(event.level === 'error' ? 'down' : 'warn', 'degraded', null, 'Cockpit', event.message);
    case 'breaker': {
      const target = `${event.provider}/${event.model}`;
      return event.to === 'closed'
        ? line('ok', 'ready', null, `${target} is asked again`, spelt(event.cause))
        : line('down', 'failing', null, `${target} is left alone for a while`, spelt(event.cause));
    }
    case 'provider':
      return event.to === 'degraded' || event.to === 'down'
        ? line('down', 'degraded', event.service, `${event.provider} fails requests`, spelt(event.cause))
        : line('ok', 'ready', event.service, `${event.provider} answers requests again`);
    case 'budget':
      return line(
        event.percent >= 100 ? 'down' : 'warn',
        'degraded',
        null,
        `${event.percent} % of this ${event.period}’s budget of ${event.whose} is spent`,
        `${money(event.spent_usd)} of ${money(event.limit_usd)}`,
      );
    case 'refused':
      return line(
        'warn',
        'degraded',
        null,
        event.count > 1
          ? `The gateway turned away ${count(event.count, 'request')}, the last from ${event.from}`
          : `The gateway turned away a request from ${event.from}`,
        refusal(event.code),
      );
    case 'reported':
      return line(
        'warn',
        'degraded',
        null,
        reportedWords(event.kind, event.count),
        [event.user, event.said].filter(Boolean).join(': '),
      );
    case 'pii':
      return line(
        event.action === 'block' ? 'warn' : 'idle',
        event.action === 'block' ? 'degraded' : null,
        null,
        `${count(event.calls, 'prompt')} with personal data ${PII_DONE[event.action] ?? ''}`.trimEnd(),
        event.found.join(', ').replaceAll('_', ' '),
      );
    case 'access': {
      const words = {
        address: `The key ${event.key} is used from a new address`,
        hour: `The key ${event.key} is used at an unusual hour`,
        volume: `The key ${event.key} is used far more than ever`,
      };
      const seen = event.what === 'address' ? event.seen : `${event.seen}, from ${event.from}`;
      return line(
        'warn',
        'degraded',
        null,
        words[event.what],
        event.usual ? `${seen}; usually ${event.usual}` : seen,
      );
    }
    case 'gap':
      return line(
        'idle',
        'unknown',
        null,
        event.missed === null ? 'Some events were missed' : `${count(event.missed, 'event')} missed`,
      );
    default:
      return line('idle', null, null, event.type);
  }
}

/** A cause with its codes as words: `5 calls in a row failed: provider overloaded`. */
export function spelt(cause: string): string {
  return cause.replace(/\b(?:provider|policy|caller|gateway)(?:_[a-z]+)+\b/g, (code) =>
    code.replaceAll('_', ' '),
  );
}

/** Why the gateway lets nobody in, for people. */
function refusal(code: string): string {
  switch (code) {
    case 'caller_unauthorized':
      return 'no good key';
    case 'policy_host':
      return 'a host name it does not answer to';
    case 'policy_origin':
      return 'a foreign web page';
    default:
      return code;
  }
}

/** What an application reported, so often. */
function reportedWords(kind: string, times: number): string {
  const often = times > 1 ? `, ${times} times` : '';
  switch (kind) {
    case 'auth':
      return `An application reported a failed sign-in${often}`;
    case 'pii':
      return `An application reported personal data${often}`;
    case 'policy':
      return `An application reported a rule that was applied${often}`;
    default:
      return `An application reported ${kind}${often}`;
  }
}

/** Whether an event belongs in the list of what happened. */
export function isHistory(event: Event): boolean {
  return !['service', 'service_removed', 'status', 'host', 'calls', 'gap'].includes(event.type);
}

/** The service an event is about. */
export function eventService(event: Event): string | null {
  if (event.type === 'service') return event.service.name;
  return 'service' in event && typeof event.service === 'string' ? event.service : null;
}

/** Totals over a service's instances; `null` where nothing was measured. */
export function totals(service: Service): {
  cpu: number | null;
  memory: number | null;
  restarts: number;
  startedAt: string | null;
  pids: number[];
} {
  let cpu: number | null = null;
  let memory: number | null = null;
  let restarts = 0;
  let startedAt: string | null = null;
  const pids: number[] = [];
  for (const instance of service.instances) {
    if (instance.cpu_percent !== null) cpu = (cpu ?? 0) + instance.cpu_percent;
    if (instance.memory_bytes !== null) memory = (memory ?? 0) + instance.memory_bytes;
    restarts += instance.restarts;
    if (instance.pid !== null) pids.push(instance.pid);
    // The youngest speaks for the service: "up for" must hold for all of it.
    if (
      instance.started_at !== null &&
      instance.pid !== null &&
      (startedAt === null || compareTimes(instance.started_at, startedAt) > 0)
    ) {
      startedAt = instance.started_at;
    }
  }
  return { cpu, memory, restarts, startedAt, pids };
}

/** Everything that waits for `name`, directly or through others, in the given order. */
export function dependants(name: string, services: Service[]): string[] {
  const found = new Set<string>([name]);
  for (let grew = true; grew;) {
    grew = false;
    for (const service of services) {
      if (!found.has(service.name) && service.depends_on.some((d) => found.has(d))) {
        found.add(service.name);
        grew = true;
      }
    }
  }
  found.delete(name);
  return services.map((s) => s.name).filter((n) => found.has(n));
}
