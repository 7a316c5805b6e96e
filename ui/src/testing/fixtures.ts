/** Things for tests: one good value of each type, changed by what a test is about. */

import type { HostSample, Instance, Service, Status } from '../lib/types';

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
