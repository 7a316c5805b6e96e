// Answers of the engine in the states worth looking at: the shapes are those of the API, the times are
// relative to now, and nothing is random, so that two pictures of one scene differ only by the code.

import { breaker, MODELS, openGateway, TrafficDouble } from './traffic.mjs';

const iso = (msFromNow) => new Date(Date.now() + msFromNow).toISOString();
const MIN = 60_000;
const HOUR = 60 * MIN;
const MB = 1024 ** 2;
const GB = 1024 ** 3;

/** Deterministic noise in 0..1. */
export function noise(i, salt = 0) {
  const x = Math.sin(i * 12.9898 + salt * 78.233) * 43758.5453;
  return x - Math.floor(x);
}

function heartbeat(base, { failed = [], count = 90, salt = 1 } = {}) {
  return Array.from({ length: count }, (_, i) => {
    const ok = !failed.includes(i);
    return {
      at: iso(-(count - i) * 2_000),
      ok,
      latency_ms: ok ? base * (0.7 + noise(i, salt) * 0.8 + (noise(i, salt + 9) > 0.95 ? 2 : 0)) : null,
    };
  });
}

function instance(index, over = {}) {
  return {
    index,
    pid: 4711 + index,
    port: 3000 + index,
    state: 'ready',
    since: iso(-3 * HOUR),
    cause: '',
    started_at: iso(-3 * HOUR),
    restarts: 0,
    cpu_percent: 2.4,
    memory_bytes: 180 * MB,
    last_exit: null,
    next_attempt_at: null,
    ...over,
  };
}

function service(name, over = {}) {
  return {
    name,
    kind: 'command',
    state: 'ready',
    since: iso(-3 * HOUR),
    cause: '',
    owner: 'cockpit',
    owner_detail: null,
    version: null,
    listen: '127.0.0.1:3000',
    instances: [instance(0)],
    probe: {
      kind: 'http',
      target: 'http://127.0.0.1:3000/health',
      latency_ms: 4.2,
      p95_ms: 7.9,
      error: null,
    },
    heartbeat: heartbeat(4),
    depends_on: [],
    manual_stop: false,
    actions: ['stop', 'restart'],
    detail: null,
    ...over,
  };
}

const exit = (over = {}) => ({
  code: 1,
  signal: null,
  at: iso(-9_000),
  last_lines: [
    'Server starting on :3000',
    'Error: connect ECONNREFUSED 127.0.0.1:54322',
    '    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1611:16)',
    '    at createPool (/Users/me/code/app/api/db.js:18:11)',
    '\u001b[31mfatal\u001b[0m: could not reach the database, giving up',
  ],
  ...over,
});

function stack() {
  return [
    service('ollama', {
      kind: 'ollama',
      version: '0.12.3',
      listen: '127.0.0.1:11434',
      instances: [instance(0, { pid: 812, port: 11434, cpu_percent: 148.2, memory_bytes: 41.3 * GB })],
      probe: {
        kind: 'http',
        target: 'http://127.0.0.1:11434/api/version',
        latency_ms: 1.8,
        p95_ms: 3.1,
        error: null,
      },
      heartbeat: heartbeat(2, { salt: 3 }),
      detail: {
        models: [
          {
            name: 'llama3.3:70b',
            size_bytes: 42.5 * GB,
            memory_bytes: 40.6 * GB,
            expires_at: iso(4.4 * MIN),
            loaded: true,
          },
          {
            name: 'nomic-embed-text:latest',
            size_bytes: 274 * MB,
            memory_bytes: 420 * MB,
            expires_at: null,
            loaded: true,
          },
          {
            name: 'llama3.2:latest',
            size_bytes: 2 * GB,
            memory_bytes: null,
            expires_at: null,
            loaded: false,
          },
          {
            name: 'qwen2.5-coder:32b',
            size_bytes: 19.8 * GB,
            memory_bytes: null,
            expires_at: null,
            loaded: false,
          },
        ],
      },
    }),
    service('supabase', {
      kind: 'supabase',
      version: '2.48.3',
      listen: '127.0.0.1:54321',
      instances: [
        instance(0, {
          pid: null,
          port: 54321,
          started_at: iso(-26 * HOUR),
          cpu_percent: 6.1,
          memory_bytes: 1.42 * GB,
        }),
      ],
      probe: {
        kind: 'postgres',
        target: 'postgres://postgres@127.0.0.1:54322/postgres',
        latency_ms: 2.6,
        p95_ms: 5.4,
        error: null,
      },
      heartbeat: heartbeat(3, { salt: 5, failed: [31] }),
      detail: {
        containers: ['db', 'auth', 'rest', 'kong', 'storage', 'realtime', 'studio'].map((n, i) => ({
          name: `supabase_${n}_app`,
          image: `public.ecr.aws/supabase/${n}:v${i + 1}.${i * 3}.1`,
          state: 'running',
          health: n === 'rest' ? null : 'healthy',
          status: 'Up 26 hours (healthy)',
          exit_code: null,
          started_at: iso(-26 * HOUR),
        })),
        checks: [
          { name: 'auth', ok: true, latency_ms: 8.2, error: null },
          { name: 'rest', ok: true, latency_ms: 11.9, error: null },
          { name: 'database', ok: true, latency_ms: 2.6, error: null },
        ],
      },
    }),
    service('api', {
      kind: 'node',
      version: '20.19.4',
      depends_on: ['supabase', 'ollama'],
      instances: [
        instance(0),
        instance(1, { restarts: 1, cpu_percent: 3.1, last_exit: exit({ at: iso(-40 * MIN) }) }),
      ],
    }),
    service('tunnel', {
      kind: 'cloudflared',
      version: '2025.9.1',
      listen: null,
      owner: 'homebrew',
      owner_detail: 'homebrew.mxcl.cloudflared (pid 701)',
      instances: [instance(0, { pid: 701, port: null, cpu_percent: 0.3, memory_bytes: 38 * MB })],
      probe: {
        kind: 'http',
        target: 'http://127.0.0.1:20241/ready',
        latency_ms: 0.9,
        p95_ms: 1.4,
        error: null,
      },
      heartbeat: heartbeat(1, { salt: 8, count: 52 }),
      depends_on: ['api'],
      actions: ['take_over'],
    }),
  ];
}

function host(series = true) {
  const n = 600;
  const step = 6_000;
  const at_ms = Array.from({ length: n }, (_, i) => Date.now() - (n - i) * step);
  const wave = (mean, amp, salt) =>
    at_ms.map((_, i) =>
      Math.max(
        0,
        mean +
          Math.sin(i / 37 + salt) * amp * 0.5 +
          (noise(i, salt) - 0.5) * amp * 0.5 +
          (i > 380 && i < 430 ? amp : 0),
      ),
    );
  const now = {
    at: iso(-300),
    cpu: {
      percent: 31.7,
      cores: [42, 38, 21, 17, 64, 58, 44, 39, 31, 27, 22, 12, 9, 71, 12, 6, 4, 3, 24, 18, 11, 8, 5, 2],
      efficiency_cores: 8,
      load_1m: 6.42,
    },
    memory: {
      total_bytes: 192 * GB,
      used_bytes: 71.4 * GB,
      free_bytes: 120.6 * GB,
      swap_used_bytes: 0,
      swap_total_bytes: 4 * GB,
      pressure: 'normal',
      split: {
        models_bytes: 41 * GB,
        services_bytes: 1.9 * GB,
        other_bytes: 28.5 * GB,
        free_bytes: 120.6 * GB,
        by_service: { ollama: 41 * GB, supabase: 1.4 * GB, api: 0.4 * GB },
      },
    },
    disks: [
      {
        mount: '/',
        total_bytes: 1.9 * 1024 * GB,
        free_bytes: 412 * GB,
        days_to_full: 43.2,
        read_bytes_per_s: 1.2 * MB,
        write_bytes_per_s: 8.4 * MB,
      },
      {
        mount: '/Volumes/Models',
        total_bytes: 3.8 * 1024 * GB,
        free_bytes: 190 * GB,
        days_to_full: 6.1,
        read_bytes_per_s: 0,
        write_bytes_per_s: 0,
      },
    ],
    network: { rx_bytes_per_s: 842_000, tx_bytes_per_s: 121_000 },
    gpu: { name: 'Apple M2 Ultra', percent: 63.2, memory_used_bytes: 39.8 * GB },
    cockpit: { cpu_percent: 0.3, memory_bytes: 24.8 * MB },
    top: [
      ['ollama', 812, 148.2, 41.3 * GB, 'ollama'],
      ['com.docker.virtualization', 402, 22.4, 8.1 * GB, null],
      ['WindowServer', 188, 9.7, 1.2 * GB, null],
      ['node', 4711, 2.4, 180 * MB, 'api'],
      ['node', 4712, 3.1, 182 * MB, 'api'],
      ['Safari', 3211, 1.9, 890 * MB, null],
      ['cloudflared', 701, 0.3, 38 * MB, 'tunnel'],
    ].map(([name, pid, cpu_percent, memory_bytes, service]) => ({
      pid,
      name,
      cpu_percent,
      memory_bytes,
      service,
    })),
  };
  return {
    ...now,
    series: {
      step_ms: step,
      at_ms: series ? at_ms : [],
      values: series
        ? {
            cpu_percent: wave(30, 22, 1),
            memory_used_bytes: wave(70 * GB, 9 * GB, 2),
            rx_bytes_per_s: wave(700_000, 500_000, 3),
            tx_bytes_per_s: wave(120_000, 100_000, 4),
            gpu_percent: wave(50, 60, 5).map((v) => Math.min(100, v)),
            'service.api.cpu_percent': wave(6, 6, 6).map((v, i) => (i < 90 ? null : v)),
            'service.api.memory_bytes': wave(360 * MB, 40 * MB, 7).map((v, i) => (i < 90 ? null : v)),
            'service.ollama.cpu_percent': wave(120, 160, 8),
            'service.ollama.memory_bytes': wave(41 * GB, 1 * GB, 9),
          }
        : {},
    },
  };
}

function status(services, over = {}) {
  return {
    state: 'well',
    summary: `All ${services.length} services are ready`,
    since: iso(-3 * HOUR),
    cause: '',
    config: { state: 'ok', errors: [], warnings: [] },
    services: { ready: services.filter((s) => s.state === 'ready').length, total: services.length },
    incidents_open: 0,
    engine: {
      version: '0.1.0',
      pid: 640,
      started_at: iso(-26 * HOUR),
      data_dir: '/Users/me/Library/Application Support/Studio Cockpit',
      config_path: '/Users/me/Library/Application Support/Studio Cockpit/cockpit.toml',
      demo: false,
    },
    ...over,
  };
}

const plan = {
  path: '/Users/me/Library/Application Support/Studio Cockpit/cockpit.toml',
  found: [
    {
      name: 'ollama',
      kind: 'ollama',
      evidence: 'Ollama 0.12.3 at /usr/local/bin/ollama, running (pid 812, Ollama.app), 4 models',
    },
    {
      name: 'supabase',
      kind: 'supabase',
      evidence: 'supabase/config.toml in ~/code/app; Docker (OrbStack) runs 7 of its containers',
    },
    { name: 'api', kind: 'node', evidence: 'package.json with a start script in ~/code/app/api' },
  ],
  toml: '[services.ollama]\nkind = "ollama"\n\n[services.supabase]\nkind = "supabase"\nproject = "~/code/app"\n\n[services.api]\nkind = "node"\ncwd = "~/code/app/api"\ndepends_on = ["supabase", "ollama"]\nlisten = "127.0.0.1:3000"\nready = { http = "http://127.0.0.1:{port}/health" }\n',
};

function history(failing = false) {
  let seq = 9_000;
  const e = (msAgo, body) => ({ seq: seq--, at: iso(-msAgo), ...body });
  const bad = failing
    ? [
        e(9_000, {
          type: 'instance_state',
          service: 'api',
          instance: 0,
          from: 'starting',
          to: 'crash_looping',
          cause: '5 crashes in 60 s',
        }),
        e(9_000, {
          type: 'instance_exit',
          service: 'api',
          instance: 0,
          pid: 5120,
          exit: exit(),
          expected: false,
        }),
        e(12_000, { type: 'instance_started', service: 'api', instance: 0, pid: 5120, adopted: false }),
        e(20_000, { type: 'service_down', service: 'api', cause: 'exited with 1 five times in 60 s' }),
        e(44_000, {
          type: 'instance_state',
          service: 'supabase',
          instance: 0,
          from: 'ready',
          to: 'degraded',
          cause: 'Docker is not running',
        }),
      ]
    : [];
  return [
    ...bad,
    e(22 * MIN, { type: 'mark', mark: 'restart', service: 'api' }),
    e(22 * MIN + 400, {
      type: 'instance_state',
      service: 'api',
      instance: 1,
      from: 'starting',
      to: 'ready',
      cause: '',
    }),
    e(22 * MIN + 900, { type: 'instance_started', service: 'api', instance: 1, pid: 4712, adopted: false }),
    e(40 * MIN, {
      type: 'instance_exit',
      service: 'api',
      instance: 1,
      pid: 4502,
      exit: exit({ at: iso(-40 * MIN) }),
      expected: false,
    }),
    e(41 * MIN, { type: 'mark', mark: 'slept', slept_ms: 23 * MIN }),
    e(2 * HOUR, { type: 'service_recovered', service: 'supabase', down_ms: 14_200 }),
    e(2 * HOUR + 9_000, {
      type: 'memory_limit',
      service: 'api',
      instance: 0,
      used_bytes: 4.2 * GB,
      limit_bytes: 4 * GB,
      action: 'restart',
    }),
    e(3 * HOUR, { type: 'config', ok: true, summary: 'api changed' }),
    e(26 * HOUR, { type: 'mark', mark: 'engine_started', version: '0.1.0', adopted: 3 }),
  ];
}

function logs(n = 420) {
  const texts = [
    '\u001b[32mGET\u001b[0m /health 200 1.2ms',
    '\u001b[32mGET\u001b[0m /v1/notes?limit=20 200 8.4ms user=ada',
    '\u001b[33mPOST\u001b[0m /v1/chat 200 1,842ms model=llama3.3:70b tokens=412',
    'pool: 4 idle, 1 active',
    '\u001b[1mslow query\u001b[0m (212ms): select * from messages where thread = $1 order by at desc limit 50',
  ];
  return Array.from({ length: n }, (_, i) => {
    const err = i % 61 === 40;
    const own = { 0: 'started, pid 4711', [n - 9]: 'ended by SIGKILL; starting again' }[i];
    return {
      at: iso(-(n - i) * 730),
      instance: i % 3 === 0 ? 1 : 0,
      stream: own ? 'cockpit' : err ? 'stderr' : 'stdout',
      text:
        own ??
        (err
          ? '\u001b[31mError\u001b[0m: upstream timed out after 30000ms (POST /api/generate)'
          : texts[Math.floor(noise(i, 2) * texts.length)]),
    };
  });
}

const base = () => ({ host: host(), plan, logs: logs(), login: { on: true, path: null } });

const healthyTraffic = () =>
  new TrafficDouble({
    breakers: MODELS.map((model) => breaker(model.name, 'closed', { calls: Math.round(model.rate) })),
    business: {
      active_users: 7,
      tasks: 212,
      tasks_completed: 203,
      completion_rate: 203 / 212,
      feedback: 64,
      satisfaction: 0.91,
    },
  });

/** A provider that fails for the last two hours, a budget at its end, and two abrupt ends of the cockpit. */
const failingTraffic = () => {
  const now = Date.now();
  const gateway = openGateway();
  gateway.budgets = [
    { ...gateway.budgets[1], whose: 'the key `nightly-summaries`', spent_usd: 12.02, limit_usd: 12 },
    { ...gateway.budgets[0], spent_usd: 171.3 },
  ];
  Object.assign(gateway.providers[1], {
    state: 'degraded',
    cause: '`gpt-4o`: 5 calls in a row failed: provider_overloaded',
    since: iso(-94_000),
  });
  gateway.providers[0].room = {
    concurrency: 4,
    admitted: 4,
    capacity: 256,
    waiting: 17,
    longest_wait_ms: 8_400,
  };
  return new TrafficDouble({
    gateway,
    interruptions: [
      { from: now - 9.3 * HOUR, to: now - 7.9 * HOUR },
      { from: now - 2.6 * HOUR, to: now - 2.6 * HOUR + 3_000 },
    ],
    security: { failed_authentications: 41, unusual_access: 1, pii_detections: 12, policy_violations: 3 },
    failing: (at, model) =>
      at > now - 2 * HOUR && !model.name.startsWith('ollama')
        ? { errors: 0.46, slow: 3.4 }
        : { errors: 0.008, slow: 1 },
    breakers: [
      breaker('openai/gpt-4o', 'open', {
        since: iso(-94_000),
        cause: '5 calls in a row failed: provider_overloaded',
        retry_at: iso(26_000),
        calls: 14,
        failed: 12,
      }),
      breaker('openai/gpt-4o-mini', 'half_open', {
        since: iso(-4_000),
        cause: '61 % of 18 calls failed in a minute',
        calls: 18,
        failed: 11,
      }),
      breaker('ollama/llama3.3:70b', 'closed', { calls: 21 }),
      breaker('anthropic/claude-sonnet-4-5', 'closed', { calls: 0 }),
    ],
  });
};

/** Ten million calls, forty models, names as long as callers make them. */
const loadTraffic = () => {
  const models = Array.from({ length: 40 }, (_, i) => ({
    ...MODELS[i % MODELS.length],
    name:
      i < MODELS.length
        ? MODELS[i].name
        : i === 7
          ? 'openai-compatible-proxy-of-the-research-department/hf.co/bartowski/Meta-Llama-3.1-70B-Instruct-GGUF:Q4_K_M'
          : `provider-${i % 5}/model-${i}`,
    rate: MODELS[i % MODELS.length].rate / (1 + i / 3),
  }));
  const users = Array.from({ length: 60 }, (_, i) =>
    i === 1
      ? 'service-account-for-the-nightly-import-of-customer-correspondence@subsidiary.example.com'
      : `user-${(i * 7919) % 997}@example.com`,
  );
  return new TrafficDouble({
    models,
    users,
    agents: ['an-agent-with-a-remarkably-long-and-descriptive-name-that-nobody-shortened', ...AGENTS_MANY],
    scale: 180,
    exact: false,
    breakers: models.slice(0, 18).map((model) => breaker(model.name, 'closed', { calls: 1_240 })),
    business: {
      active_users: 4_812,
      tasks: 0,
      tasks_completed: 0,
      completion_rate: null,
      feedback: 0,
      satisfaction: null,
    },
  });
};
const AGENTS_MANY = Array.from({ length: 9 }, (_, i) => `agent-${i}`);

export const scenes = {
  healthy() {
    const services = stack();
    return { ...base(), services, status: status(services), events: history(), traffic: healthyTraffic() };
  },
  failing() {
    const services = stack();
    const [ollama, supabase, api, tunnel] = services;
    Object.assign(supabase, {
      state: 'degraded',
      since: iso(-44_000),
      cause: 'Docker is not running',
      heartbeat: heartbeat(3, { failed: Array.from({ length: 22 }, (_, i) => 68 + i) }),
      probe: { ...supabase.probe, latency_ms: null, error: 'connection refused' },
    });
    Object.assign(supabase.instances[0], {
      state: 'degraded',
      cpu_percent: null,
      memory_bytes: null,
      started_at: null,
    });
    supabase.detail.remedy = 'open -a Docker';
    supabase.detail.checks = [
      { name: 'auth', ok: false, latency_ms: null, error: 'connection refused' },
      { name: 'rest', ok: false, latency_ms: null, error: 'connection refused' },
      { name: 'database', ok: null, latency_ms: null, error: null },
    ];
    supabase.detail.containers.forEach((c, i) =>
      Object.assign(
        c,
        i < 3
          ? { state: 'exited', health: null, exit_code: 137, status: 'Exited (137)' }
          : i === 3
            ? { health: 'unhealthy' }
            : {},
      ),
    );
    Object.assign(api, {
      state: 'crash_looping',
      since: iso(-20_000),
      cause: 'exited with 1 five times in 60 s: could not reach the database, giving up',
      heartbeat: heartbeat(4, { failed: [70, 71, 72, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89] }),
      instances: [
        instance(0, {
          pid: null,
          state: 'crash_looping',
          started_at: null,
          restarts: 5,
          cpu_percent: null,
          memory_bytes: null,
          cause: 'exited with 1',
          last_exit: exit(),
          next_attempt_at: iso(21_000),
        }),
        instance(1, {
          pid: null,
          state: 'backing_off',
          started_at: null,
          restarts: 3,
          cpu_percent: null,
          memory_bytes: null,
          cause: 'exited with 1',
          last_exit: exit({ at: iso(-4_000), code: null, signal: 'SIGKILL' }),
          next_attempt_at: iso(4_000),
        }),
      ],
      actions: ['stop', 'restart'],
    });
    Object.assign(tunnel, {
      state: 'waiting',
      cause: 'waiting for api',
      since: iso(-20_000),
      owner: 'cockpit',
      owner_detail: null,
      actions: ['stop', 'start'],
    });
    Object.assign(tunnel.instances[0], {
      state: 'waiting',
      pid: null,
      started_at: null,
      cpu_percent: null,
      memory_bytes: null,
    });
    void ollama;
    return {
      ...base(),
      services,
      traffic: failingTraffic(),
      events: history(true),
      status: status(services, {
        state: 'down',
        summary: 'api keeps crashing, and 2 more',
        cause: api.cause,
        since: api.since,
        config: {
          state: 'invalid',
          warnings: [],
          errors: [
            {
              file: 'cockpit.toml',
              line: 14,
              column: 3,
              message: 'unknown key',
              text: 'depnds_on',
              suggestion: 'did you mean `depends_on`?',
            },
            {
              file: 'cockpit.toml',
              line: 22,
              column: 10,
              message: 'one address used twice, here and by service `api`',
              text: '127.0.0.1:3000',
              suggestion: null,
            },
          ],
        },
      }),
    };
  },
  many() {
    const states = [
      'ready',
      'ready',
      'ready',
      'starting',
      'stopped',
      'ready',
      'degraded',
      'ready',
      'backing_off',
      'done',
      'stopping',
      'unknown',
      'missing',
      'ready',
      'failing',
      'ready',
      'ready',
      'ready',
      'ready',
      'ready',
    ];
    const names = [
      'ollama',
      'supabase',
      'api',
      'worker',
      'migrate-legacy-database-of-the-old-app',
      'redis',
      'search',
      'web',
      'billing',
      'migrations',
      'mailer',
      'tailscale',
      'whisper',
      'embedder',
      'reranker',
      'gateway',
      'admin',
      'docs',
      'cron',
      'tunnel',
    ];
    const services = names.map((name, i) => {
      const state = states[i];
      const up = ['ready', 'degraded', 'failing', 'starting', 'stopping'].includes(state);
      return service(name, {
        state,
        kind: ['ollama', 'supabase', 'node', 'command', 'task', 'command'][i % 6],
        since: iso(-(i + 1) * 7 * MIN),
        cause:
          {
            degraded: 'readiness probe failed 3 times: 503 Service Unavailable',
            backing_off: 'exited with 139',
            missing: 'command not found: whisper-server',
            failing: 'liveness probe timed out 3 times',
            unknown: 'not observed yet',
          }[state] ?? '',
        listen: `127.0.0.1:${4000 + i}`,
        manual_stop: state === 'stopped',
        actions: state === 'stopped' ? ['start'] : ['stop', 'restart'],
        depends_on:
          i === 0
            ? []
            : i < 4
              ? [names[0]]
              : i < 10
                ? [names[2]]
                : i === 15
                  ? ['api', 'redis', 'search']
                  : [],
        heartbeat: up ? heartbeat(4 + i, { salt: i, failed: state === 'degraded' ? [87, 88, 89] : [] }) : [],
        instances: [
          instance(0, {
            state,
            pid: up ? 6000 + i : null,
            started_at: up ? iso(-(i + 1) * 31 * MIN) : null,
            cpu_percent: up ? noise(i) * 40 : null,
            memory_bytes: up ? noise(i, 4) * 2 * GB : null,
            next_attempt_at: state === 'backing_off' ? iso(9_000) : null,
            last_exit: state === 'backing_off' ? exit({ code: null, signal: 'SIGSEGV' }) : null,
          }),
        ],
      });
    });
    return {
      ...base(),
      services,
      events: history(),
      traffic: healthyTraffic(),
      status: status(services, {
        state: 'degraded',
        summary: 'whisper is not installed, and 8 more',
        cause: 'command not found: whisper-server',
        since: iso(-91 * MIN),
      }),
    };
  },
  empty() {
    return {
      ...base(),
      host: host(false),
      services: [],
      events: [],
      traffic: new TrafficDouble({
        quiet: true,
        gateway: {
          listen: null,
          open: false,
          cause: null,
          fronts: [],
          trouble: [],
          needs_key: false,
          providers: [],
          routes: [],
          budgets: [],
        },
      }),
      status: status([], {
        state: 'unknown',
        summary: 'No services are configured yet',
        since: iso(-4_000),
        services: { ready: 0, total: 0 },
      }),
    };
  },
  load() {
    const scene = scenes.healthy();
    return { ...scene, traffic: loadTraffic() };
  },
  /** Requests of which none failed. */
  flawless() {
    const scene = scenes.healthy();
    return { ...scene, traffic: new TrafficDouble({ failing: () => ({ errors: 0, slow: 1 }) }) };
  },
  /** Installed within the hour. */
  fresh() {
    const scene = scenes.healthy();
    return {
      ...scene,
      traffic: new TrafficDouble({ since: Date.now() - 41 * MIN, scale: 6 }),
    };
  },
  /** A gateway nobody has asked yet. */
  quiet() {
    const scene = scenes.healthy();
    return { ...scene, traffic: new TrafficDouble({ quiet: true }) };
  },
  /** A gateway whose port somebody else has. */
  shut() {
    const scene = scenes.healthy();
    const cause =
      'the gateway cannot listen on 127.0.0.1:11435 (Address already in use (os error 48)): `ollama` (pid 812) has the port; end that, or give the gateway another with `listen` under [gateway]';
    scene.status.engine.trouble = [cause];
    return {
      ...scene,
      traffic: new TrafficDouble({
        quiet: true,
        gateway: openGateway({ open: false, cause, providers: [], routes: [], budgets: [] }),
      }),
    };
  },
  /** An engine that does not know of traffic yet. */
  older() {
    const { traffic: _, ...scene } = scenes.healthy();
    return scene;
  },
  demo() {
    const scene = scenes.healthy();
    scene.status.engine.demo = true;
    scene.status.config.warnings = [
      {
        file: 'cockpit.toml',
        line: 3,
        column: 1,
        message: '[gateway] is accepted and does nothing yet',
        text: null,
        suggestion: null,
      },
    ];
    return scene;
  },
};
