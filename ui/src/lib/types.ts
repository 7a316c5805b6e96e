/**
 * The words of the API, as the engine serialises them. Each type has the name and the fields of its
 * counterpart in the model crate; a change there is a change here.
 *
 * Times are RFC 3339 UTC strings, durations end in their unit, sizes are bytes.
 */

export type InstanceState =
  | 'stopped'
  | 'waiting'
  | 'starting'
  | 'ready'
  | 'degraded'
  | 'failing'
  | 'backing_off'
  | 'stopping'
  | 'crash_looping'
  | 'missing'
  | 'done'
  | 'unknown';

export type Owner =
  'cockpit' | 'ollama-app' | 'homebrew' | 'launchd' | 'systemd' | 'docker' | 'remote' | 'other';

export type Action = 'start' | 'stop' | 'restart' | 'take_over';

export interface Exit {
  code: number | null;
  signal: string | null;
  at: string;
  last_lines: string[];
}

export interface Instance {
  index: number;
  pid: number | null;
  port: number | null;
  state: InstanceState;
  since: string;
  cause: string;
  started_at: string | null;
  restarts: number;
  cpu_percent: number | null;
  memory_bytes: number | null;
  last_exit: Exit | null;
  next_attempt_at: string | null;
}

export interface ProbeView {
  kind: string;
  target: string;
  latency_ms: number | null;
  p95_ms: number | null;
  error: string | null;
}

export interface HealthTick {
  at: string;
  ok: boolean;
  latency_ms: number | null;
}

export interface LocalModel {
  name: string;
  size_bytes: number | null;
  memory_bytes: number | null;
  expires_at: string | null;
  loaded: boolean;
}

export interface Container {
  name: string;
  image: string;
  state: string;
  health: string | null;
  status: string;
  exit_code: number | null;
  started_at: string | null;
}

export interface Check {
  name: string;
  ok: boolean | null;
  latency_ms: number | null;
  error: string | null;
}

/** Empty lists and an absent remedy are left out by the engine. */
export interface Detail {
  models?: LocalModel[];
  containers?: Container[];
  checks?: Check[];
  remedy?: string;
}

export interface Service {
  name: string;
  kind: string;
  state: InstanceState;
  since: string;
  cause: string;
  owner: Owner;
  owner_detail: string | null;
  version: string | null;
  listen: string | null;
  instances: Instance[];
  probe: ProbeView | null;
  heartbeat: HealthTick[];
  depends_on: string[];
  manual_stop: boolean;
  actions: Action[];
  detail: Detail | null;
}

export type VerdictState = 'well' | 'busy' | 'degraded' | 'down' | 'unknown';

export interface Verdict {
  state: VerdictState;
  summary: string;
  since: string;
  cause: string;
}

export interface ConfigError {
  file: string;
  line: number;
  column: number;
  message: string;
  text: string | null;
  suggestion: string | null;
}

export interface ConfigStatus {
  state: 'ok' | 'invalid';
  errors: ConfigError[];
  warnings: ConfigError[];
}

export interface EngineInfo {
  version: string;
  pid: number;
  started_at: string;
  data_dir: string;
  config_path: string;
  demo: boolean;
  /** What of the engine itself does not work now; an older engine does not tell. */
  trouble?: string[];
}

export interface Status extends Verdict {
  config: ConfigStatus;
  services: { ready: number; total: number };
  incidents_open: number;
  engine: EngineInfo;
}

export type Pressure = 'normal' | 'warning' | 'critical';

export interface Cpu {
  percent: number;
  cores: number[];
  efficiency_cores: number | null;
  load_1m: number;
}

export interface Split {
  models_bytes: number;
  services_bytes: number;
  other_bytes: number;
  free_bytes: number;
  by_service: Record<string, number>;
}

export interface Memory {
  total_bytes: number;
  used_bytes: number;
  free_bytes: number;
  swap_used_bytes: number;
  swap_total_bytes: number;
  pressure: Pressure | null;
  split: Split;
}

export interface Disk {
  mount: string;
  total_bytes: number;
  free_bytes: number;
  days_to_full: number | null;
  read_bytes_per_s: number;
  write_bytes_per_s: number;
}

export interface Network {
  rx_bytes_per_s: number;
  tx_bytes_per_s: number;
}

export interface Gpu {
  name: string;
  percent: number | null;
  memory_used_bytes: number | null;
}

export interface Cost {
  cpu_percent: number;
  memory_bytes: number;
}

export interface Process {
  pid: number;
  name: string;
  cpu_percent: number;
  memory_bytes: number;
  service: string | null;
}

export interface HostSample {
  at: string;
  cpu: Cpu;
  memory: Memory;
  disks: Disk[];
  network: Network;
  gpu: Gpu | null;
  cockpit: Cost;
  top: Process[];
}

/** Columns of equal length; `null` where nothing was measured. */
export interface Series {
  step_ms: number;
  at_ms: number[];
  values: Record<string, (number | null)[]>;
}

export interface HostView extends HostSample {
  series: Series;
}

export type Mark =
  | { mark: 'engine_started'; version: string; adopted: number; known_until?: string }
  | { mark: 'restart'; service: string }
  | { mark: 'slept'; slept_ms: number }
  | { mark: 'deploy'; what: string | null; version: string | null };

export type EventBody =
  | {
      type: 'instance_state';
      service: string;
      instance: number;
      from: InstanceState;
      to: InstanceState;
      cause: string;
    }
  | {
      type: 'instance_exit';
      service: string;
      instance: number;
      pid: number;
      exit: Exit;
      expected: boolean;
    }
  | { type: 'instance_started'; service: string; instance: number; pid: number; adopted: boolean }
  | { type: 'service_down'; service: string; cause: string }
  | { type: 'service_recovered'; service: string; down_ms: number }
  | {
      type: 'memory_limit';
      service: string;
      instance: number;
      used_bytes: number;
      limit_bytes: number;
      action: string;
    }
  | { type: 'service'; service: Service }
  | { type: 'service_removed'; service: string }
  | { type: 'status'; status: Status }
  | { type: 'host'; host: HostSample }
  | ({ type: 'mark' } & Mark)
  | { type: 'config'; ok: boolean; summary: string }
  | { type: 'cockpit'; level: string; message: string }
  | {
      type: 'breaker';
      provider: string;
      model: string;
      from: BreakerState;
      to: BreakerState;
      cause: string;
    }
  | {
      type: 'provider';
      provider: string;
      service: string | null;
      from: ProviderState;
      to: ProviderState;
      cause: string;
    }
  | {
      type: 'budget';
      whose: string;
      period: string;
      percent: number;
      spent_usd: number;
      limit_usd: number;
    }
  | { type: 'refused'; code: string; from: string; count: number }
  | { type: 'reported'; kind: string; count: number; user: string | null; said: string | null }
  | { type: 'pii'; call: string; calls: number; found: string[]; action: string }
  | { type: 'calls'; ended: number; newest: Call[] }
  | {
      type: 'access';
      key: string;
      what: 'address' | 'hour' | 'volume';
      from: string;
      seen: string;
      usual: string;
    }
  | { type: 'gap'; missed: number | null };

/** Whether a provider answers. */
export type ProviderState = 'ready' | 'degraded' | 'down' | 'unknown';

/** Whether calls pass a circuit breaker. */
export type BreakerState = 'closed' | 'open' | 'half_open';

export type Event = { seq: number; at: string } & EventBody;

// Requests to models.

/** What usage is grouped by. */
export type Dimension = 'model' | 'provider' | 'route' | 'user' | 'agent' | 'key' | 'error';

/** `null` without values. */
export interface Percentiles {
  p50: number | null;
  p95: number | null;
  p99: number | null;
  /** By nearest rank from the single values, else within 1 % of it from merged sketches. */
  exact: boolean;
}

export interface Totals {
  calls: number;
  errors: number;
  cancelled: number;
  cache_hits: number;
  /** Cached ones included. */
  input_tokens: number;
  output_tokens: number;
  cached_input_tokens: number;
  /** What the priced ones cost; `null` when there were calls and none had a price. */
  cost_usd: number | null;
  unpriced_calls: number;
  latency_ms: Percentiles;
  ttft_ms: Percentiles;
  output_tokens_per_second: number | null;
}

export type UsagePoint = { at: string } & Totals;

/** `key` is `null` for calls without a value; `rest` marks all values beyond the largest 1,000. */
export type UsageGroup = { key: string | null; rest?: boolean; series?: UsagePoint[] } & Totals;

export interface Business {
  active_users: number;
  tasks: number;
  tasks_completed: number;
  completion_rate: number | null;
  feedback: number;
  satisfaction: number | null;
}

/** What was noticed at the gate. */
export interface Security {
  failed_authentications: number;
  unusual_access: number;
  pii_detections: number;
  policy_violations: number;
}

/** A time of which not everything is recorded: an engine ended abruptly, and the next started at its end. */
export interface Interruption {
  from: string;
  to: string;
}

export interface Usage {
  window: { from: string; to: string; step_s: number };
  totals: Totals;
  groups: UsageGroup[];
  series: UsagePoint[];
  business: Business;
  /** When requests may be missing, oldest first; an older engine does not tell. */
  interruptions?: Interruption[];
  /** What was noticed at the gate; an older engine does not tell. */
  security?: Security;
}

export type Outcome = 'ok' | 'error' | 'cancelled';

/** `null` and absent are "not known". */
export interface Call {
  id: string;
  at: string;
  source: 'gateway' | 'events' | 'otlp';
  provider: string;
  model: string;
  target: string;
  requested_model?: string;
  route?: string;
  operation: 'chat' | 'completion' | 'embeddings' | 'other';
  outcome: Outcome;
  error: string | null;
  status?: number;
  finish_reason?: string;
  user: string | null;
  agent: string | null;
  key: string | null;
  tags: string[];
  input_tokens: number | null;
  output_tokens: number | null;
  cached_input_tokens: number | null;
  cache_write_tokens?: number;
  latency_ms: number | null;
  ttft_ms: number | null;
  streamed: boolean;
  attempts: number;
  fallback: boolean;
  cache_hit: boolean;
  cost_usd: number | null;
  price_version: string | null;
}

export interface Breaker {
  provider: string;
  model: string;
  state: BreakerState;
  since: string;
  cause: string;
  retry_at: string | null;
  /** In the last minute. */
  calls: number;
  failed: number;
}

export interface WaitingRoom {
  concurrency: number;
  admitted: number;
  capacity: number;
  waiting: number;
  longest_wait_ms: number;
}

export interface Budget {
  whose: string;
  period: 'day' | 'month';
  limit_usd: number;
  spent_usd: number;
  reserved_usd: number;
  renews_at: string;
}

export interface Gateway {
  /** `null` when none is configured. */
  listen: string | null;
  open: boolean;
  /** Why it is not open, and what to do. */
  cause: string | null;
  /** Addresses of services that run behind it. */
  fronts: { listen: string; service: string; open: boolean; cause: string | null }[];
  needs_key: boolean;
  providers: GatewayProvider[];
  routes: { name: string; targets: string[] }[];
  budgets: Budget[];
  /** What of its settings cannot be used, each with whom that shuts out. */
  trouble: string[];
}

export interface GatewayProvider {
  name: string;
  kind: string;
  base_url: string;
  service: string | null;
  /** What it answers costs nothing. */
  local: boolean;
  state: ProviderState;
  /** Why it does not answer as it should; empty when it does. */
  cause: string;
  since: string | null;
  /** Its models that fail, where it answers for others. */
  failing: string[];
  room: WaitingRoom | null;
}

export type LogStream = 'stdout' | 'stderr' | 'cockpit';

export interface LogLine {
  at: string;
  instance: number;
  stream: LogStream;
  text: string;
}

/** RFC 9457, with the stable code and what to do next. */
export interface Problem {
  code: string;
  title: string;
  detail?: string;
  remedy?: string;
}

export interface Found {
  name: string;
  kind: string;
  evidence: string;
  /** Why a person must decide first; then its part of the file is commented out. An older engine does not tell. */
  doubt?: string | null;
}

export interface Plan {
  found: Found[];
  toml: string;
  path: string;
}

export interface LoginItem {
  on: boolean;
  path: string | null;
}

/** What the desktop shell says of itself. */
export interface AppInfo {
  version: string;
}
