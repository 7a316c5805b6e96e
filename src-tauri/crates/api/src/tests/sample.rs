//! One of everything, with every optional part present.

use std::collections::BTreeMap;

use cockpit_metering::counters::Counters;
use cockpit_model::gateway::{
    BudgetView, FrontView, GatewayProvider, GatewayRoute, GatewayView, ProviderState, WaitingRoom,
};
use cockpit_model::host::{
    Cost, Cpu, Disk, Gpu, HostSample, HostView, Memory, Network, Pressure, Process, Series, Split,
};
use cockpit_model::keys::{KeyMade, KeyView};
use cockpit_model::logs::{LogLine, Stream};
use cockpit_model::service::{Check, Container, LocalModel};
use cockpit_model::traffic::Limits;
use cockpit_model::usage::{
    Business, Group, Interruption, Point, Security, Totals, Usage, UsageWindow,
};
use cockpit_model::verdict::{ConfigError, ConfigState, ConfigStatus, Counts, EngineInfo};
use cockpit_model::{
    Action, BreakerState, BreakerView, Call, CallSource, Detail, Event, EventBody, Exit,
    HealthTick, Instance, InstanceState, Mark, Operation, Outcome, Owner, ProbeView, Report,
    ReportKind, Service, Status, Timestamp, Usd, Verdict, VerdictState,
};

use crate::{Counted, Found, Plan, Written};

pub(crate) fn at() -> Timestamp {
    "2026-01-02T03:04:05.678Z".parse().unwrap()
}

pub(crate) fn key() -> KeyView {
    KeyView {
        name: "app".into(),
        made: KeyMade::Here,
        in_config: true,
        begins: Some("cockpit_ab12".into()),
        created_at: Some(at()),
        last_used_at: Some(at()),
        limits: Limits {
            requests_per_minute: Some(60),
            tokens_per_minute: Some(100_000),
            usd_per_day: Some(Usd::from_pico(5)),
            usd_per_month: Some(Usd::from_pico(50)),
            models: Some(vec!["chat".into()]),
            max_tokens: Some(4096),
        },
    }
}

pub(crate) fn exit() -> Exit {
    Exit {
        code: Some(1),
        signal: Some("SIGKILL".into()),
        at: at(),
        last_lines: vec!["boom".into()],
    }
}

pub(crate) fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        kind: "node".into(),
        state: InstanceState::Ready,
        since: at(),
        cause: "answers".into(),
        owner: Owner::OllamaApp,
        owner_detail: Some("Ollama.app (pid 812)".into()),
        version: Some("1.2.3".into()),
        listen: Some("127.0.0.1:3000".into()),
        instances: vec![Instance {
            index: 0,
            pid: Some(4711),
            port: Some(3000),
            state: InstanceState::Ready,
            since: at(),
            cause: "answers".into(),
            started_at: Some(at()),
            restarts: 2,
            cpu_percent: Some(12.5),
            memory_bytes: Some(1 << 20),
            last_exit: Some(exit()),
            next_attempt_at: Some(at()),
        }],
        probe: Some(ProbeView {
            kind: "http".into(),
            target: "http://127.0.0.1:3000/health".into(),
            latency_ms: Some(2.5),
            p95_ms: Some(4.0),
            error: Some("timed out".into()),
        }),
        heartbeat: vec![HealthTick {
            at: at(),
            ok: true,
            latency_ms: Some(2.5),
        }],
        depends_on: vec!["db".into()],
        manual_stop: false,
        actions: vec![Action::Stop, Action::Restart, Action::TakeOver],
        detail: Some(Detail {
            models: vec![LocalModel {
                name: "llama3.2:latest".into(),
                size_bytes: Some(1),
                memory_bytes: Some(2),
                expires_at: Some(at()),
                loaded: true,
            }],
            containers: vec![Container {
                name: "db".into(),
                image: "postgres".into(),
                state: "running".into(),
                health: Some("healthy".into()),
                status: "Up".into(),
                exit_code: Some(0),
                started_at: Some(at()),
            }],
            checks: vec![Check {
                name: "auth".into(),
                ok: Some(true),
                latency_ms: Some(1.0),
                error: Some("x".into()),
            }],
            remedy: Some("open -a Docker".into()),
        }),
    }
}

pub(crate) fn status() -> Status {
    let error = ConfigError {
        file: "cockpit.toml".into(),
        line: 3,
        column: 7,
        message: "unknown key".into(),
        text: Some("comand".into()),
        suggestion: Some("`command`".into()),
    };
    Status {
        verdict: Verdict {
            state: VerdictState::Well,
            summary: "All 2 services are ready".into(),
            since: at(),
            cause: String::new(),
        },
        config: ConfigStatus {
            state: ConfigState::Invalid,
            errors: vec![error.clone()],
            warnings: vec![error],
        },
        services: Counts { ready: 2, total: 2 },
        incidents_open: 0,
        engine: EngineInfo {
            version: "0.1.0".into(),
            pid: 99,
            started_at: at(),
            data_dir: "/d".into(),
            config_path: "/d/cockpit.toml".into(),
            demo: false,
            trouble: vec!["telemetry.db is not in use: the disk is full".into()],
        },
    }
}

pub(crate) fn host_sample() -> HostSample {
    HostSample {
        at: at(),
        cpu: Cpu {
            percent: 25.0,
            cores: vec![10.0, 40.0],
            efficiency_cores: Some(1),
            load_1m: 0.5,
        },
        memory: Memory {
            total_bytes: 64,
            used_bytes: 32,
            free_bytes: 32,
            swap_used_bytes: 1,
            swap_total_bytes: 2,
            pressure: Some(Pressure::Warning),
            split: Split {
                models_bytes: 10,
                services_bytes: 10,
                other_bytes: 12,
                free_bytes: 32,
                by_service: BTreeMap::from([("api".into(), 10)]),
            },
        },
        disks: vec![Disk {
            mount: "/Volumes/A \"b\"\\c\nd".into(),
            total_bytes: 100,
            free_bytes: 50,
            days_to_full: Some(3.5),
            read_bytes_per_s: 1.0,
            write_bytes_per_s: 2.0,
        }],
        network: Network {
            rx_bytes_per_s: 3.0,
            tx_bytes_per_s: 4.0,
        },
        gpu: Some(Gpu {
            name: "M3".into(),
            percent: Some(5.0),
            memory_used_bytes: Some(6),
        }),
        cockpit: Cost {
            cpu_percent: 0.5,
            memory_bytes: 7,
        },
        top: vec![Process {
            pid: 1,
            name: "x".into(),
            cpu_percent: 1.0,
            memory_bytes: 8,
            service: Some("api".into()),
        }],
    }
}

pub(crate) fn host() -> HostView {
    HostView {
        now: host_sample(),
        series: Series {
            step_ms: 1000,
            at_ms: vec![1, 2],
            values: BTreeMap::from([("cpu_percent".into(), vec![Some(1.0), None])]),
        },
    }
}

pub(crate) fn line(text: &str) -> LogLine {
    LogLine {
        at: at(),
        instance: 0,
        stream: Stream::Stdout,
        text: text.into(),
    }
}

pub(crate) fn plan() -> Plan {
    Plan {
        found: vec![Found {
            name: "ollama".into(),
            kind: "ollama".into(),
            evidence: "Ollama 0.5.1".into(),
            doubt: None,
        }],
        toml: "[cockpit]\n".into(),
        path: "/d/cockpit.toml".into(),
    }
}

/// One event of every type.
pub(crate) fn events() -> Vec<Event> {
    let service = || "api".to_owned();
    let bodies = vec![
        EventBody::InstanceState {
            service: service(),
            instance: 0,
            from: InstanceState::Starting,
            to: InstanceState::Ready,
            cause: "answers".into(),
        },
        EventBody::InstanceExit {
            service: service(),
            instance: 0,
            pid: 7,
            exit: exit(),
            expected: false,
        },
        EventBody::InstanceStarted {
            service: service(),
            instance: 0,
            pid: 8,
            adopted: true,
        },
        EventBody::ServiceDown {
            service: service(),
            cause: "died".into(),
        },
        EventBody::ServiceRecovered {
            service: service(),
            down_ms: 5,
        },
        EventBody::MemoryLimit {
            service: service(),
            instance: 0,
            used_bytes: 2,
            limit_bytes: 1,
            action: "restart".into(),
        },
        EventBody::Service {
            service: Box::new(self::service("api")),
        },
        EventBody::ServiceRemoved { service: service() },
        EventBody::Status { status: status() },
        EventBody::Host {
            host: Box::new(host_sample()),
        },
        EventBody::Mark(Mark::EngineStarted {
            version: "0.1.0".into(),
            adopted: 2,
            known_until: Some(at()),
        }),
        EventBody::Mark(Mark::Restart { service: service() }),
        EventBody::Mark(Mark::Slept { slept_ms: 9 }),
        EventBody::Mark(Mark::Deploy {
            what: Some("api".into()),
            version: None,
        }),
        EventBody::Config {
            ok: true,
            summary: "api changed".into(),
        },
        EventBody::Cockpit {
            level: "warning".into(),
            message: "disk full".into(),
        },
        EventBody::Breaker {
            provider: "openai".into(),
            model: "gpt-4o".into(),
            from: "closed".into(),
            to: "open".into(),
            cause: "5 calls in a row failed: provider_timeout".into(),
        },
        EventBody::Provider {
            provider: "ollama".into(),
            service: Some("ollama".into()),
            from: ProviderState::Ready,
            to: ProviderState::Degraded,
            cause: "`llama3.2`: 5 calls in a row failed: provider_error".into(),
        },
        EventBody::Budget {
            whose: "this cockpit".into(),
            period: "day".into(),
            percent: 80,
            spent_usd: Usd::from_pico(8),
            limit_usd: Usd::from_pico(10),
        },
        EventBody::Refused {
            code: "policy_host".into(),
            from: "127.0.0.1".into(),
            count: 3,
        },
        EventBody::Access {
            key: "app".into(),
            what: "address".into(),
            from: "203.0.113.7".into(),
            seen: "203.0.113.7".into(),
            usual: "127.0.0.1".into(),
        },
        EventBody::Pii {
            call: "01HF".into(),
            calls: 2,
            found: vec!["email 2".into()],
            action: "observe".into(),
        },
        EventBody::Reported {
            kind: "auth".into(),
            count: 3,
            user: Some("ada".into()),
            said: None,
        },
        EventBody::Calls {
            ended: 1,
            newest: vec![call()],
        },
        EventBody::Gap { missed: Some(3) },
    ];
    bodies
        .into_iter()
        .zip(1..)
        .map(|(body, seq)| Event {
            seq,
            at: at(),
            body,
        })
        .collect()
}

/// A call of which everything is known.
pub(crate) fn call() -> Call {
    Call {
        id: "01HF7YAT000000000000000000".into(),
        at: at(),
        source: CallSource::Gateway,
        provider: "openai".into(),
        model: "gpt-4o".into(),
        target: "openai/gpt-4o".into(),
        requested_model: Some("chat".into()),
        route: Some("chat".into()),
        operation: Operation::Chat,
        outcome: Outcome::Error,
        error: Some("provider_stream_cut".into()),
        status: Some(200),
        finish_reason: Some("stop".into()),
        user: Some("ada".into()),
        agent: Some("writer".into()),
        key: Some("app".into()),
        tags: vec!["night".into()],
        input_tokens: Some(12),
        output_tokens: Some(34),
        cached_input_tokens: Some(5),
        cache_write_tokens: Some(6),
        latency_ms: Some(120.5),
        ttft_ms: Some(20.25),
        streamed: true,
        attempts: 2,
        fallback: true,
        cache_hit: false,
        cost_usd: Some(Usd::from_pico(1_500_000)),
        price_version: Some("1.0".into()),
    }
}

/// Usage with one group and one step.
pub(crate) fn usage() -> Usage {
    let totals = Totals {
        calls: 1,
        cost_usd: Some(Usd::from_pico(1_500_000)),
        ..Totals::default()
    };
    let point = Point {
        at: at(),
        totals: totals.clone(),
    };
    Usage {
        window: UsageWindow {
            from: at(),
            to: at(),
            step_s: 300,
        },
        groups: vec![Group {
            key: None,
            rest: true,
            totals: totals.clone(),
            series: vec![point.clone()],
        }],
        totals,
        series: vec![point],
        business: Business::default(),
        interruptions: vec![Interruption {
            from: at(),
            to: at(),
        }],
        security: Security::default(),
    }
}

/// An open breaker.
pub(crate) fn breaker() -> BreakerView {
    BreakerView {
        provider: "openai".into(),
        model: "gpt-4o".into(),
        state: BreakerState::HalfOpen,
        since: at(),
        cause: "5 calls in a row failed: provider_timeout".into(),
        retry_at: Some(at()),
        calls: 9,
        failed: 5,
    }
}

/// An open gateway with one of everything.
pub(crate) fn gateway() -> GatewayView {
    GatewayView {
        listen: Some(([127, 0, 0, 1], 11435).into()),
        open: true,
        cause: Some("somebody has the port".into()),
        fronts: vec![FrontView {
            listen: ([127, 0, 0, 1], 11434).into(),
            service: "ollama".into(),
            open: false,
            cause: Some("somebody has the port".into()),
        }],
        needs_key: true,
        providers: vec![GatewayProvider {
            name: "ollama".into(),
            kind: "ollama".into(),
            base_url: "http://127.0.0.1:21873".into(),
            service: Some("ollama".into()),
            local: true,
            state: ProviderState::Degraded,
            cause: "`llama3.2`: 5 calls in a row failed: provider_error".into(),
            since: Some(at()),
            failing: vec!["llama3.2".into()],
            room: Some(WaitingRoom {
                concurrency: 4,
                admitted: 4,
                capacity: 256,
                waiting: 2,
                longest_wait_ms: 1_500,
            }),
        }],
        routes: vec![GatewayRoute {
            name: "chat".into(),
            targets: vec!["openai/gpt-4o".into(), "ollama/llama3.2".into()],
        }],
        budgets: vec![BudgetView {
            whose: "this cockpit".into(),
            period: "month".into(),
            limit_usd: Usd::from_pico(200_000_000_000_000),
            spent_usd: Usd::from_pico(1_500_000),
            reserved_usd: Usd::ZERO,
            renews_at: at(),
        }],
        trouble: vec!["`openai` cannot be asked".into()],
    }
}

/// One call, one task and three refusals, counted.
pub(crate) fn counted() -> Counted {
    let mut counters = Counters::default();
    counters.call(&call());
    counters.call(&Call {
        outcome: Outcome::Ok,
        error: None,
        ..call()
    });
    counters.report(&Report {
        id: "t1".into(),
        kind: ReportKind::Task,
        at: at(),
        user: None,
        agent: None,
        key: None,
        ok: Some(true),
        score: None,
        body: "{}".into(),
    });
    counters.refused("caller_unknown_key", 3);
    Counted {
        counters,
        ledger: Written {
            accepted: 2,
            ..Written::default()
        },
        telemetry: Written::default(),
    }
}
