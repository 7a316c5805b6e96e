/** Things for tests: one good value of each type, changed by what a test is about. */

import type {
  Breaker,
  Call,
  Gateway,
  HostSample,
  Instance,
  Percentiles,
  Service,
  Status,
  Totals,
  Usage,
  UsageGroup,
  UsagePoint,
} from '../lib/types';

export const NOW = Date.parse('2026-03-01T12:00:00Z');

export function at(msFromNow: number): string {
  return new Date(NOW + msFromNow).toISOString();
}

export function instance(over: Partial<Instance> = {}): Instance {
  return {
    index: 0,
    pid: 4711,
    port: 3000,
    state: 'ready',
    since: at(-3_600_000),
    cause: '',
    started_at: at(-3_600_000),
    restarts: 0,
    cpu_percent: 2.4,
    memory_bytes: 188_743_680,
    last_exit: null,
    next_attempt_at: null,
    ...over,
  };
}

export function service(over: Partial<Service> = {}): Service {
  return {
    name: 'api',
    kind: 'node',
    state: 'ready',
    since: at(-3_600_000),
    cause: '',
    owner: 'cockpit',
    owner_detail: null,
    version: '20.19.4',
    listen: '127.0.0.1:3000',
    instances: [instance()],
    probe: { kind: 'http', target: 'http://127.0.0.1:3000/health', latency_ms: 4, p95_ms: 7.9, error: null },
    heartbeat: [],
    depends_on: [],
    manual_stop: false,
    actions: ['stop', 'restart'],
    detail: null,
    ...over,
  };
}

export function status(over: Partial<Status> = {}): Status {
  return {
    state: 'well',
    summary: 'All 1 services are ready',
    since: at(-3_600_000),
    cause: '',
    config: { state: 'ok', errors: [], warnings: [] },
    services: { ready: 1, total: 1 },
    incidents_open: 0,
    engine: {
      version: '0.1.0',
      pid: 640,
      started_at: at(-86_400_000),
      data_dir: '/data',
      config_path: '/data/cockpit.toml',
      demo: false,
    },
    ...over,
  };
}

export function host(over: Partial<HostSample> = {}): HostSample {
  return {
    at: at(0),
    cpu: { percent: 12, cores: [10, 14], efficiency_cores: null, load_1m: 0.4 },
    memory: {
      total_bytes: 1000,
      used_bytes: 400,
      free_bytes: 600,
      swap_used_bytes: 0,
      swap_total_bytes: 0,
      pressure: null,
      split: { models_bytes: 100, services_bytes: 100, other_bytes: 200, free_bytes: 600, by_service: {} },
    },
    disks: [],
    network: { rx_bytes_per_s: 1, tx_bytes_per_s: 2 },
    gpu: null,
    cockpit: { cpu_percent: 0.2, memory_bytes: 20_000_000 },
    top: [],
    ...over,
  };
}

const NO_TIMES: Percentiles = { p50: null, p95: null, p99: null, exact: true };

export function totals(over: Partial<Totals> = {}): Totals {
  return {
    calls: 0,
    errors: 0,
    cancelled: 0,
    cache_hits: 0,
    input_tokens: 0,
    output_tokens: 0,
    cached_input_tokens: 0,
    cost_usd: null,
    unpriced_calls: 0,
    latency_ms: NO_TIMES,
    ttft_ms: NO_TIMES,
    output_tokens_per_second: null,
    ...over,
  };
}

/** The nth minute of the last hour. */
export function point(n: number, over: Partial<Totals> = {}): UsagePoint {
  return { at: at(-3_600_000 + n * 60_000), ...totals(over) };
}

export function group(key: string | null, over: Partial<Totals> = {}, series?: UsagePoint[]): UsageGroup {
  return { key, ...totals(over), ...(series === undefined ? {} : { series }) };
}

export function usage(over: Partial<Usage> = {}): Usage {
  return {
    window: { from: at(-3_600_000), to: at(0), step_s: 60 },
    totals: totals(),
    groups: [],
    series: [],
    business: {
      active_users: 0,
      tasks: 0,
      tasks_completed: 0,
      completion_rate: null,
      feedback: 0,
      satisfaction: null,
    },
    ...over,
  };
}

export function call(over: Partial<Call> = {}): Call {
  return {
    id: '0198f2c4-7d00',
    at: at(-5_000),
    source: 'gateway',
    provider: 'openai',
    model: 'gpt-4o',
    target: 'openai/gpt-4o',
    requested_model: 'chat',
    route: 'chat',
    operation: 'chat',
    outcome: 'ok',
    error: null,
    status: 200,
    finish_reason: 'stop',
    user: 'ada',
    agent: null,
    key: null,
    tags: ['night'],
    input_tokens: 1_200,
    output_tokens: 300,
    cached_input_tokens: 400,
    latency_ms: 1_500,
    ttft_ms: 300,
    streamed: true,
    attempts: 1,
    fallback: false,
    cache_hit: false,
    cost_usd: 0.0052,
    price_version: '1.0',
    ...over,
  };
}

export function breaker(over: Partial<Breaker> = {}): Breaker {
  return {
    provider: 'openai',
    model: 'gpt-4o',
    state: 'closed',
    since: at(-60_000),
    cause: '5 calls in a row failed: provider_timeout',
    retry_at: null,
    calls: 9,
    failed: 5,
    ...over,
  };
}

export function gateway(over: Partial<Gateway> = {}): Gateway {
  return {
    listen: '127.0.0.1:11435',
    open: true,
    cause: null,
    fronts: [],
    needs_key: false,
    providers: [
      {
        name: 'openai',
        kind: 'openai',
        base_url: 'https://api.openai.com/v1',
        service: null,
        local: false,
        state: 'ready',
        cause: '',
        since: null,
        failing: [],
        room: null,
      },
    ],
    routes: [{ name: 'chat', targets: ['openai/gpt-4o', 'ollama/llama3.2'] }],
    budgets: [],
    trouble: [],
    ...over,
  };
}
