//! `restart`, `stop`, `limits`, `logs`: how a service is kept, ended, bounded and written down.

use cockpit_model::spec::{LimitAction, LimitsSpec, LogSpec, RestartPolicy, RestartSpec, StopSpec};
use toml::de::DeValue;

use super::Reader;
use crate::kinds::{self, Preset};
use crate::report::Finding;
use crate::suggest;

const POLICIES: &[(&str, RestartPolicy)] = &[
    ("always", RestartPolicy::Always),
    ("on_failure", RestartPolicy::OnFailure),
    ("never", RestartPolicy::Never),
];

const ACTIONS: &[(&str, LimitAction)] = &[
    ("restart", LimitAction::Restart),
    ("notify", LimitAction::Notify),
];

const SIGNALS: &[&str] = &[
    "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL",
];

impl Reader<'_, '_, '_> {
    pub(super) fn restart(&self, preset: &Preset) -> RestartSpec {
        let mut restart = RestartSpec {
            policy: preset.policy,
            initial_delay: kinds::INITIAL_DELAY,
            max_delay: kinds::MAX_DELAY,
            reset_after: kinds::RESET_AFTER,
            max_restarts: None,
        };
        if let Some(DeValue::String(_)) = self.fields.get("restart").map(toml::Spanned::get_ref) {
            if let Some(policy) = self.fields.choice("restart", POLICIES) {
                restart.policy = policy;
            }
            return restart;
        }
        let Some(fields) = self.fields.section(
            "restart",
            &[
                "policy",
                "initial_delay",
                "max_delay",
                "reset_after",
                "max_restarts",
            ],
            "restart = { policy = \"always\", max_delay = \"30s\" }",
        ) else {
            return restart;
        };
        if let Some(policy) = fields.choice("policy", POLICIES) {
            restart.policy = policy;
        }
        let initial = fields.duration("initial_delay", "0ms");
        if let Some(initial) = &initial {
            restart.initial_delay = initial.value;
        }
        if let Some(max) = fields.span_of_time("max_delay", "30s") {
            restart.max_delay = max;
        }
        if let Some(reset) = fields.span_of_time("reset_after", "30s") {
            restart.reset_after = reset;
        }
        restart.max_restarts = fields
            .whole("max_restarts", 1..=1_000_000, 10)
            .and_then(|n| u32::try_from(n.value).ok());
        if let Some(initial) = initial.filter(|i| i.value > restart.max_delay) {
            self.error(
                &initial.span,
                Finding::new(format!(
                    "`{}` is longer than `max_delay`",
                    fields.path_of("initial_delay")
                ))
                .suggest("make it shorter, or `max_delay` longer"),
            );
        }
        restart
    }

    pub(super) fn stop(&self, preset: &Preset) -> StopSpec {
        let mut stop = StopSpec {
            signal: preset.signal.to_owned(),
            grace: preset.grace,
        };
        let Some(fields) = self.fields.section(
            "stop",
            &["signal", "grace"],
            "stop = { signal = \"SIGTERM\", grace = \"10s\" }",
        ) else {
            return stop;
        };
        if let Some(signal) = fields.text("signal", "SIGTERM") {
            let name = signal.value.to_ascii_uppercase();
            let full = if name.starts_with("SIG") {
                name
            } else {
                format!("SIG{name}")
            };
            if SIGNALS.contains(&full.as_str()) {
                stop.signal = full;
            } else {
                fields.report.error(
                    &signal.span,
                    Finding::new(format!("`{}` is no signal", fields.path_of("signal")))
                        .suggest_if(suggest::did_you_mean(&full, SIGNALS, "choose one of")),
                );
            }
        }
        if let Some(grace) = fields.duration("grace", "10s") {
            stop.grace = grace.value;
        }
        stop
    }

    pub(super) fn limits(&self) -> LimitsSpec {
        let mut limits = LimitsSpec {
            memory: None,
            action: LimitAction::Restart,
        };
        if let Some(fields) = self.fields.section(
            "limits",
            &["memory", "action"],
            "limits = { memory = \"4GiB\", action = \"restart\" }",
        ) {
            limits.memory = fields.size("memory", 1 << 20, "4GiB");
            if let Some(action) = fields.choice("action", ACTIONS) {
                limits.action = action;
            }
        }
        limits
    }

    pub(super) fn logs(&self) -> LogSpec {
        let mut logs = LogSpec {
            max_size: kinds::LOG_SIZE,
            keep: kinds::LOG_KEEP,
        };
        if let Some(fields) = self.fields.section(
            "logs",
            &["max_size", "keep"],
            "logs = { max_size = \"50MiB\", keep = 5 }",
        ) {
            if let Some(size) = fields.size("max_size", 1 << 10, "50MiB") {
                logs.max_size = size;
            }
            if let Some(keep) = fields.whole("keep", 0..=1000, u64::from(kinds::LOG_KEEP)) {
                logs.keep = u32::try_from(keep.value).unwrap_or(kinds::LOG_KEEP);
            }
        }
        logs
    }
}
