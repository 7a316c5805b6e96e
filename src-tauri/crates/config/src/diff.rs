//! What a saved change means for what runs.

use std::collections::HashMap;

use cockpit_model::ServiceSpec;
use serde::Serialize;

use crate::Config;

/// The difference between two configurations, by service name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Changes {
    /// To be started, in the new file's order.
    pub added: Vec<String>,
    /// To be stopped, in the old file's order.
    pub removed: Vec<String>,
    /// Whose own settings changed, in the new file's order.
    pub changed: Vec<Change>,
    /// Settings outside of services that changed: `cockpit.listen`, `gateway`, `otlp`, `prices`.
    pub cockpit: Vec<&'static str>,
}

/// A service whose own settings changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// The keys that changed, as they are called in the file.
    pub settings: Vec<&'static str>,
    /// Whether the running process was made with them, so that only a restart applies them.
    pub restart: bool,
}

impl Changes {
    /// Whether nothing changed at all.
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.changed.is_empty()
            && self.cockpit.is_empty()
    }
}

/// Compares what two files mean, not what they look like: comments, order and defaults that are
/// written out change nothing.
pub fn diff(old: &Config, new: &Config) -> Changes {
    let before: HashMap<&str, &ServiceSpec> =
        old.services.iter().map(|s| (s.name.as_str(), s)).collect();
    let after: HashMap<&str, &ServiceSpec> =
        new.services.iter().map(|s| (s.name.as_str(), s)).collect();
    let mut changes = Changes {
        cockpit: cockpit(old, new),
        ..Changes::default()
    };
    for service in &old.services {
        if !after.contains_key(service.name.as_str()) {
            changes.removed.push(service.name.clone());
        }
    }
    for service in &new.services {
        match before.get(service.name.as_str()) {
            None => changes.added.push(service.name.clone()),
            Some(earlier) => changes.changed.extend(compare(earlier, service)),
        }
    }
    changes
}

fn cockpit(old: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (&old.cockpit, &new.cockpit);
    [
        ("cockpit.listen", a.listen != b.listen),
        ("cockpit.allow_remote", a.allow_remote != b.allow_remote),
        ("cockpit.allowed_hosts", a.allowed_hosts != b.allowed_hosts),
        ("cockpit.keep_awake", a.keep_awake != b.keep_awake),
        (
            "cockpit.login_shell_env",
            a.login_shell_env != b.login_shell_env,
        ),
        ("cockpit.log_level", a.log_level != b.log_level),
        ("gateway", old.traffic != new.traffic),
        ("otlp", old.otlp != new.otlp),
        ("prices", old.prices != new.prices),
    ]
    .into_iter()
    .filter_map(|(name, changed)| changed.then_some(name))
    .collect()
}

fn compare(old: &ServiceSpec, new: &ServiceSpec) -> Option<Change> {
    // (key, changed, whether the process was made with it)
    let settings = [
        ("kind", old.kind != new.kind, true),
        ("command", old.run != new.run, true),
        ("cwd", old.cwd != new.cwd, true),
        ("env", old.env != new.env, true),
        ("env_file", old.env_file != new.env_file, true),
        ("depends_on", old.depends_on != new.depends_on, false),
        ("replicas", old.replicas != new.replicas, true),
        ("listen", old.listen != new.listen, true),
        ("ready", old.ready != new.ready, false),
        ("live", old.live != new.live, false),
        (
            "start_timeout",
            old.start_timeout != new.start_timeout,
            false,
        ),
        ("restart", old.restart != new.restart, false),
        ("stop", old.stop != new.stop, false),
        ("limits", old.limits != new.limits, false),
        // The shim was told at its start where to write and when to rotate.
        ("logs", old.logs != new.logs, true),
        ("autostart", old.autostart != new.autostart, false),
        ("project", old.options.project != new.options.project, true),
        (
            "behind_gateway",
            old.options.behind_gateway != new.options.behind_gateway,
            true,
        ),
        ("models", old.options.models != new.options.models, false),
        ("url", old.options.url != new.options.url, false),
        (
            "database",
            old.options.database != new.options.database,
            false,
        ),
    ];
    let changed: Vec<_> = settings
        .into_iter()
        .filter(|(_, changed, _)| *changed)
        .collect();
    (!changed.is_empty()).then(|| Change {
        name: new.name.clone(),
        restart: changed.iter().any(|(_, _, restart)| *restart),
        settings: changed.into_iter().map(|(name, _, _)| name).collect(),
    })
}
