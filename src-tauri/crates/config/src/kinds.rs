//! What each kind of service is by default: the one table of the presets' settings.
//!
//! Every setting here can be overridden in the file. `{port}` is the instance's port; the host is
//! that of the service's own `listen`.

use std::time::Duration;

use cockpit_model::spec::{Kind, ProbeCheck, RestartPolicy};

use crate::address::Address;

/// The words for `kind`, in the order they are offered.
pub(crate) const KINDS: &[(&str, Kind)] = &[
    ("command", Kind::Command),
    ("task", Kind::Task),
    ("ollama", Kind::Ollama),
    ("supabase", Kind::Supabase),
    ("node", Kind::Node),
    ("postgres", Kind::Postgres),
    ("cloudflared", Kind::Cloudflared),
    ("tailscale", Kind::Tailscale),
    ("url", Kind::Url),
];

/// How a service of a kind comes to run, before the file has its say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// A process; the command must be in the file.
    Command,
    /// A process with a command of its own.
    Default(&'static [&'static str]),
    /// A process if the file has a command, else only watched.
    CommandOrWatch,
    /// Other programs run it; a driver asks them.
    Driver,
    /// Nothing is run at all.
    Watch,
}

/// A kind's defaults.
pub(crate) struct Preset {
    pub(crate) runs: Runs,
    pub(crate) listen: Option<&'static str>,
    pub(crate) env: &'static [(&'static str, &'static str)],
    pub(crate) ready: Option<ProbeCheck>,
    pub(crate) live: Option<ProbeCheck>,
    pub(crate) every: Duration,
    pub(crate) timeout: Duration,
    pub(crate) policy: RestartPolicy,
    pub(crate) signal: &'static str,
    pub(crate) grace: Duration,
}

/// Failures in a row that take a service down, and successes that bring it back.
pub(crate) const FAILURES: u32 = 3;
pub(crate) const SUCCESSES: u32 = 2;

/// How long a start may take before liveness is judged.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(300);

/// Backoff of restarts.
pub(crate) const INITIAL_DELAY: Duration = Duration::ZERO;
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(30);
pub(crate) const RESET_AFTER: Duration = Duration::from_secs(30);

/// What is kept of the output.
pub(crate) const LOG_SIZE: u64 = 50 << 20;
pub(crate) const LOG_KEEP: u32 = 5;

/// The default `listen` of a kind.
pub(crate) fn listen(kind: Kind) -> Option<&'static str> {
    preset(kind, None).listen
}

/// The defaults of a kind whose service listens at `listen`.
pub(crate) fn preset(kind: Kind, listen: Option<&Address>) -> Preset {
    let host = listen.map_or_else(|| "127.0.0.1".to_owned(), Address::client_host);
    let http = |path: &str| Some(ProbeCheck::Http(format!("http://{host}:{{port}}{path}")));
    let plain = Preset {
        runs: Runs::Command,
        listen: None,
        env: &[],
        ready: None,
        live: None,
        every: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        policy: RestartPolicy::Always,
        signal: "SIGTERM",
        grace: Duration::from_secs(10),
    };
    match kind {
        Kind::Command => Preset {
            every: Duration::from_secs(2),
            ..plain
        },
        Kind::Task => Preset {
            every: Duration::from_secs(2),
            policy: RestartPolicy::OnFailure,
            ..plain
        },
        Kind::Ollama => Preset {
            runs: Runs::Default(&["ollama", "serve"]),
            listen: Some("127.0.0.1:11434"),
            env: &[("OLLAMA_HOST", "{host}:{port}")],
            ready: http("/api/version"),
            live: http("/api/version"),
            grace: Duration::from_secs(20),
            ..plain
        },
        Kind::Supabase => Preset {
            runs: Runs::Driver,
            listen: Some("127.0.0.1:54321"),
            grace: Duration::from_secs(60),
            ..plain
        },
        Kind::Node => Preset {
            runs: Runs::Default(&["node", "server.js"]),
            ready: listen.map(|_| ProbeCheck::Tcp(format!("{host}:{{port}}"))),
            ..plain
        },
        Kind::Postgres => Preset {
            runs: Runs::CommandOrWatch,
            listen: Some("127.0.0.1:5432"),
            ready: Some(ProbeCheck::Postgres(format!(
                "postgres://{host}:{{port}}/postgres"
            ))),
            // SIGTERM waits for every client; SIGINT ends their sessions and writes a checkpoint.
            signal: "SIGINT",
            grace: Duration::from_secs(60),
            ..plain
        },
        Kind::Cloudflared => Preset {
            runs: Runs::Default(&["cloudflared", "tunnel", "--metrics", "{host}:{port}", "run"]),
            listen: Some("127.0.0.1:20241"),
            ready: http("/ready"),
            // It lets running requests end for 30 s.
            grace: Duration::from_secs(35),
            ..plain
        },
        Kind::Tailscale => Preset {
            runs: Runs::Driver,
            ..plain
        },
        Kind::Url => Preset {
            runs: Runs::Watch,
            every: Duration::from_secs(15),
            timeout: Duration::from_secs(5),
            ..plain
        },
    }
}
