// Requests to models for the scenes: usage over any window and grouping, single calls, breakers, the gateway.
// Made of a few numbers a model, so that sums, groups and series of one scene agree.

const MIN = 60_000;
const HOUR = 60 * MIN;
const DAY = 24 * HOUR;
const iso = (ms) => new Date(ms).toISOString();

function noise(i, salt = 0) {
  const x = Math.sin(i * 12.9898 + salt * 78.233) * 43758.5453;
  return x - Math.floor(x);
}

/** By day and night, with a quiet weekend. */
function tide(ms) {
  const d = new Date(ms);
  const hour = d.getUTCHours() + d.getUTCMinutes() / 60;
  const weekend = d.getUTCDay() % 6 === 0 ? 0.35 : 1;
  return weekend * (0.18 + Math.max(0, Math.sin(((hour - 6) / 14) * Math.PI)));
}

const NONE = { p50: null, p95: null, p99: null, exact: true };

/** What `calls` calls of a model come to. */
function totals(model, calls, errors, cancelled, exact, slow = 1) {
  const ok = calls - errors - cancelled;
  const ms = (base) =>
    ok <= 0 || base === null
      ? { ...NONE, exact }
      : { p50: base * slow, p95: base * 3.1 * slow, p99: base * 6.4 * slow, exact };
  const input = Math.round(ok * model.input);
  const output = Math.round(ok * model.output);
  const cached = Math.round(input * (model.cached ?? 0));
  return {
    calls,
    errors,
    cancelled,
    cache_hits: 0,
    input_tokens: input,
    output_tokens: output,
    cached_input_tokens: cached,
    cost_usd:
      model.price === null
        ? calls === 0
          ? 0
          : null
        : Number(((input * model.price[0] + output * model.price[1]) / 1e6).toFixed(9)),
    unpriced_calls: model.price === null ? ok : 0,
    latency_ms: ms(model.latency),
    ttft_ms: ms(model.ttft),
    output_tokens_per_second: ok > 0 ? model.speed : null,
  };
}

function add(all, exact) {
  const sum = (key) => all.reduce((s, one) => s + (one[key] ?? 0), 0);
  const weighted = (key, p) => {
    const some = all.filter((one) => one[key][p] !== null);
    const n = some.reduce((s, one) => s + one.calls, 0);
    return n === 0 ? null : some.reduce((s, one) => s + one[key][p] * one.calls, 0) / n;
  };
  const ms = (key) => ({
    p50: weighted(key, 'p50'),
    p95: weighted(key, 'p95'),
    p99: weighted(key, 'p99'),
    exact,
  });
  const priced = all.some((one) => one.cost_usd !== null && one.calls > 0);
  const calls = sum('calls');
  const spoken = all.filter((one) => one.output_tokens_per_second !== null);
  return {
    calls,
    errors: sum('errors'),
    cancelled: sum('cancelled'),
    cache_hits: sum('cache_hits'),
    input_tokens: sum('input_tokens'),
    output_tokens: sum('output_tokens'),
    cached_input_tokens: sum('cached_input_tokens'),
    cost_usd: calls === 0 ? 0 : priced ? Number(sum('cost_usd').toFixed(9)) : null,
    unpriced_calls: sum('unpriced_calls'),
    latency_ms: ms('latency_ms'),
    ttft_ms: ms('ttft_ms'),
    output_tokens_per_second:
      spoken.length === 0
        ? null
        : spoken.reduce((s, one) => s + one.output_tokens_per_second, 0) / spoken.length,
  };
}

export const MODELS = [
  {
    name: 'openai/gpt-4o',
    rate: 0.9,
    input: 1_420,
    output: 312,
    cached: 0.42,
    price: [2.5, 10],
    latency: 1_480,
    ttft: 390,
    speed: 82,
  },
  {
    name: 'anthropic/claude-sonnet-4-5',
    rate: 0.5,
    input: 3_260,
    output: 540,
    cached: 0.71,
    price: [3, 15],
    latency: 2_240,
    ttft: 620,
    speed: 71,
  },
  {
    name: 'openai/gpt-4o-mini',
    rate: 2.2,
    input: 820,
    output: 140,
    cached: 0.2,
    price: [0.15, 0.6],
    latency: 640,
    ttft: 240,
    speed: 104,
  },
  {
    name: 'ollama/llama3.3:70b',
    rate: 0.7,
    input: 960,
    output: 260,
    price: [0, 0],
    latency: 6_400,
    ttft: 820,
    speed: 14.2,
  },
  {
    name: 'ollama/nomic-embed-text',
    rate: 3.1,
    input: 380,
    output: 0,
    price: [0, 0],
    latency: 24,
    ttft: null,
    speed: null,
  },
  {
    name: 'local-vllm/qwen3-coder-30b',
    rate: 0.3,
    input: 2_100,
    output: 420,
    price: null,
    latency: 3_100,
    ttft: 510,
    speed: 58,
  },
];

const USERS = ['ada', 'grace', 'linus', 'margaret', 'dennis', null, 'barbara', 'ken'];
const AGENTS = ['support-bot', 'nightly-summaries', 'code-review', null];
const ERRORS = [
  ['provider_overloaded', 0.46],
  ['provider_timeout', 0.21],
  ['policy_rate_limited', 0.16],
  ['caller_malformed_request', 0.11],
  ['gateway_queue_full', 0.06],
];

const STEPS = [60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400];

export class TrafficDouble {
  constructor({
    models = MODELS,
    users = USERS,
    agents = AGENTS,
    routes = ['chat', 'embed', null],
    scale = 1,
    failing = null,
    exact = true,
    quiet = false,
    since = 0,
    business = {
      active_users: 7,
      tasks: 0,
      tasks_completed: 0,
      completion_rate: null,
      feedback: 0,
      satisfaction: null,
    },
    breakers = [],
    gateway = openGateway(),
    interruptions = [],
    security = { failed_authentications: 0, unusual_access: 0, pii_detections: 0, policy_violations: 0 },
  } = {}) {
    Object.assign(this, {
      models,
      users,
      agents,
      routes,
      scale,
      failing,
      exact,
      quiet,
      since,
      business,
      breakers,
      gateway,
      interruptions,
      security,
    });
  }

  usage(params) {
    const to = params.get('until') === null ? Date.now() : Date.parse(params.get('until'));
    const from = to - length(params.get('window') ?? '24h');
    const asked = params.get('step');
    const step =
      asked === null
        ? (STEPS.find((s) => (to - from) / 1000 / s <= 300) ?? 86_400)
        : Math.max(1, Math.round(length(asked) / 1000));
    const begins = [];
    for (let at = Math.floor(from / (step * 1000)) * step * 1000; at < to; at += step * 1000) begins.push(at);

    // A table of model × step, which everything else is cut from.
    const table = this.models.map((model, m) =>
      begins.map((at) => {
        const end = at + step * 1000;
        const lost = this.interruptions.reduce((sum, gap) => sum + shared(gap, { from: at, to: end }), 0);
        const asked = { from: Math.max(from, this.since), to };
        const here = Math.max(0, shared(asked, { from: at, to: end }) - lost) / MIN;
        const wanted = this.quiet
          ? 0
          : model.rate * this.scale * tide(at) * here * (0.75 + noise(at / MIN, m) * 0.5);
        const calls = Math.floor(wanted + noise(at / MIN, m + 40) * 0.9);
        const bad = this.failing?.(at, model) ?? { errors: 0.006, slow: 1 };
        const wrong = calls * bad.errors + (bad.errors > 0 ? noise(at / MIN, m + 20) * 1.004 : 0);
        const errors = Math.min(calls, Math.floor(wrong));
        const cancelled = noise(at / MIN, m + 7) > 0.97 && calls > errors ? 1 : 0;
        return totals(
          model,
          calls,
          errors,
          cancelled,
          this.exact,
          bad.slow * (0.85 + noise(at / MIN, m + 3) * 0.3),
        );
      }),
    );
    const point = (at, all) => ({ at: iso(at), ...add(all, this.exact) });
    const series = begins.map((at, i) =>
      point(
        at,
        table.map((row) => row[i]),
      ),
    );
    const whole = add(series, this.exact);
    const by = params.get('group_by');
    let groups = [];
    const ofParts = (parts, scaled) =>
      parts
        .map(([key, part], g) => {
          const cut = scaled(part, g);
          return {
            key,
            ...add(cut, this.exact),
            series: begins.map((at, i) => ({ at: iso(at), ...cut[i] })),
          };
        })
        .filter((group) => group.calls > 0);
    if (by === 'model' || by === 'provider') {
      const names = this.models.map((model) => (by === 'model' ? model.name : model.name.split('/')[0]));
      groups = [...new Set(names)]
        .map((key) => {
          const rows = table.filter((_, m) => names[m] === key);
          const cells = begins.map((_, i) =>
            add(
              rows.map((row) => row[i]),
              this.exact,
            ),
          );
          return {
            key,
            ...add(cells, this.exact),
            series: begins.map((at, i) => ({ at: iso(at), ...cells[i] })),
          };
        })
        .filter((group) => group.calls > 0);
    } else if (by === 'error') {
      const left = series.map((one) => one.errors);
      groups = ofParts(ERRORS, (part, g) =>
        series.map((one, i) => {
          // Whole numbers whose sum is the whole: what is rounded away goes to the last.
          const share = Math.round(one.errors * part + (noise(Date.parse(one.at) / MIN, g) - 0.5) * 0.8);
          const errors = g === ERRORS.length - 1 ? left[i] : Math.max(0, Math.min(left[i], share));
          left[i] -= errors;
          return { ...add([], this.exact), calls: errors, errors, cost_usd: 0 };
        }),
      );
    } else if (by !== null) {
      const keys = { user: this.users, agent: this.agents, route: this.routes }[by];
      const weights = keys.map((_, i) => 1 / (i + 1.4));
      const all = weights.reduce((s, w) => s + w, 0);
      groups = ofParts(
        keys.map((key, i) => [key, weights[i] / all]),
        (part) =>
          series.map((one) => ({
            ...one,
            calls: Math.round(one.calls * part),
            errors: Math.round(one.errors * part),
            input_tokens: Math.round(one.input_tokens * part),
            output_tokens: Math.round(one.output_tokens * part),
            cost_usd: one.cost_usd === null ? null : one.cost_usd * part,
            unpriced_calls: Math.round(one.unpriced_calls * part),
          })),
      );
    }
    groups.sort((a, b) => (b.cost_usd ?? -1) - (a.cost_usd ?? -1) || b.calls - a.calls);
    groups.forEach((group, i) => {
      if (i >= 12) delete group.series;
    });
    return {
      window: { from: iso(from), to: iso(to), step_s: step },
      totals: whole,
      groups,
      series,
      business: this.quiet ? { ...this.business, active_users: 0 } : this.business,
      interruptions: this.interruptions
        .filter((gap) => shared(gap, { from, to }) > 0)
        .map((gap) => ({ from: iso(gap.from), to: iso(gap.to) })),
      security: this.security,
    };
  }

  calls(params) {
    if (this.quiet) return { calls: [] };
    const limit = Number(params.get('limit') ?? 100);
    const to = params.get('until') === null ? Date.now() : Date.parse(params.get('until'));
    const from = Math.max(this.since, to - length(params.get('window') ?? '1h'));
    const out = [];
    for (let i = 0, at = to - 1_400; out.length < limit && at > from && i < 20_000; i += 1) {
      const call = this.call(i, at);
      at -= 2_000 + noise(i, 5) * 31_000;
      const fits = [
        ['model', call.target],
        ['provider', call.provider],
        ['route', call.route],
        ['user', call.user],
        ['agent', call.agent],
        ['error', call.error],
        ['outcome', call.outcome],
      ].every(([name, value]) => params.get(name) === null || params.get(name) === value);
      if (fits) out.push(call);
    }
    return { calls: out };
  }

  call(i, at) {
    const model = this.models[Math.floor(noise(i, 1) * this.models.length)];
    const [provider, ...rest] = model.name.split('/');
    const fail = this.failing === null ? noise(i, 2) > 0.975 : noise(i, 2) > 0.72;
    const cancelled = !fail && noise(i, 3) > 0.975;
    const error = fail ? ERRORS[Math.floor(noise(i, 4) * ERRORS.length)][0] : null;
    const input = Math.round(model.input * (0.4 + noise(i, 6) * 1.3));
    const output = fail ? null : Math.round(model.output * (0.3 + noise(i, 7) * 1.5));
    const latency = model.latency * (0.5 + noise(i, 8) * 1.6);
    const route = model.name.includes('embed') ? 'embed' : noise(i, 9) > 0.3 ? 'chat' : undefined;
    return {
      id: `0198f2c4-7d${(1000 + i).toString(16)}-7c${i.toString(16).padStart(2, '0')}-b1a2-5e0c44d1aa07`,
      at: iso(at),
      source: 'gateway',
      provider,
      model: rest.join('/'),
      target: model.name,
      ...(route ? { requested_model: route, route } : {}),
      operation: model.name.includes('embed') ? 'embeddings' : 'chat',
      outcome: fail ? 'error' : cancelled ? 'cancelled' : 'ok',
      error,
      status: fail ? 503 : 200,
      ...(fail ? {} : { finish_reason: cancelled ? undefined : 'stop' }),
      user: this.users[Math.floor(noise(i, 10) ** 2 * this.users.length)],
      agent: this.agents[Math.floor(noise(i, 11) * this.agents.length)],
      key: 'app',
      tags: i % 7 === 0 ? ['night', 'batch'] : [],
      input_tokens: fail ? null : input,
      output_tokens: output,
      cached_input_tokens: fail ? null : Math.round(input * (model.cached ?? 0)),
      latency_ms: latency,
      ttft_ms: model.ttft === null || fail ? null : model.ttft * (0.6 + noise(i, 12)),
      streamed: model.ttft !== null,
      attempts: fail ? 3 : i % 23 === 0 ? 2 : 1,
      fallback: i % 23 === 0,
      cache_hit: false,
      cost_usd:
        fail || model.price === null
          ? null
          : Number(((input * model.price[0] + (output ?? 0) * model.price[1]) / 1e6).toFixed(12)),
      price_version: model.price === null ? null : 'litellm 1.77.5, 2026-11-20',
    };
  }
}

/** How long two stretches are at the same time. */
function shared(a, b) {
  return Math.max(0, Math.min(a.to, b.to) - Math.max(a.from, b.from));
}

function length(text) {
  const [, n, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text);
  return Number(n) * { ms: 1, s: 1_000, m: MIN, h: HOUR, d: DAY }[unit];
}

const provider = (name, kind, base_url) => ({
  name,
  kind,
  base_url,
  local: false,
  service: null,
  state: 'ready',
  cause: '',
  since: null,
  failing: [],
  room: null,
});

export function openGateway(over = {}) {
  const now = new Date();
  const month = new Date(now.getFullYear(), now.getMonth() + 1, 1);
  const day = new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1);
  const budget = (whose, period, limit_usd, spent_usd) => ({
    whose,
    period,
    limit_usd,
    spent_usd,
    reserved_usd: 0,
    renews_at: iso((period === 'day' ? day : month).getTime()),
  });
  return {
    listen: '127.0.0.1:11435',
    open: true,
    cause: null,
    fronts: [],
    trouble: [],
    needs_key: false,
    providers: [
      {
        ...provider('ollama', 'ollama', 'http://127.0.0.1:11434'),
        local: true,
        service: 'ollama',
        room: { concurrency: 4, admitted: 2, capacity: 256, waiting: 0, longest_wait_ms: 0 },
      },
      provider('openai', 'openai', 'https://api.openai.com/v1'),
      provider('anthropic', 'anthropic', 'https://api.anthropic.com'),
    ],
    routes: [
      { name: 'chat', targets: ['openai/gpt-4o', 'openai/gpt-4o-mini', 'ollama/llama3.3:70b'] },
      { name: 'embed', targets: ['ollama/nomic-embed-text'] },
    ],
    budgets: [budget('this cockpit', 'month', 200, 87.42), budget('the key `app`', 'day', 12, 4.1)],
    ...over,
  };
}

export function breaker(target, state = 'closed', over = {}) {
  const [provider, ...model] = target.split('/');
  return {
    provider,
    model: model.join('/'),
    state,
    since: iso(Date.now() - 3 * HOUR),
    cause: '',
    retry_at: null,
    calls: 6,
    failed: 0,
    ...over,
  };
}
