//! What a process is started with, prepared ahead of its next start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use cockpit_model::spec::{Kind, PresetOptions, Run};
use cockpit_model::{Code, Problem, ServiceSpec};
use cockpit_shim::signal;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::seat::hex;
use crate::shim_link::{LogSpec, Spawn, StopSpec};

const SIGTERM: i32 = rustix::process::Signal::TERM.as_raw();

#[derive(Serialize)]
struct StartedWith<'a> {
    kind: Kind,
    run: &'a Run,
    cwd: Option<&'a Path>,
    env: &'a BTreeMap<String, String>,
    env_file: Option<&'a Path>,
    listen: Option<&'a str>,
    several: bool,
    options: &'a PresetOptions,
}

/// Everything of the settings that a running process was started with: if it differs, the process is started anew.
/// Limits, probes, restart policy, stop, dependencies and log bounds take effect without that.
pub(crate) fn fingerprint(spec: &ServiceSpec) -> String {
    let started_with = StartedWith {
        kind: spec.kind,
        run: &spec.run,
        cwd: spec.cwd.as_deref(),
        env: &spec.env,
        env_file: spec.env_file.as_deref(),
        listen: spec.listen.as_deref(),
        several: spec.has_own_ports(),
        options: &spec.options,
    };
    // Strings, maps and options cannot fail to serialise.
    let mut started_with = serde_json::to_value(started_with).unwrap_or_default();
    prune(&mut started_with);
    started_with.sort_all_objects();
    hex(&Sha256::digest(started_with.to_string()), 32)
}

/// Takes out what says nothing. A later version's new setting that is not used must not change the fingerprint:
/// everything would be started anew by an update.
fn prune(value: &mut Value) {
    let Value::Object(fields) = value else { return };
    fields.values_mut().for_each(prune);
    fields.retain(|_, value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    });
}

/// How the service is ended, as the shim takes it.
pub(crate) fn stop_spec(spec: &ServiceSpec) -> StopSpec {
    StopSpec {
        // The configuration takes no other names.
        signal: signal::number(&spec.stop.signal).unwrap_or(SIGTERM),
        grace_ms: u64::try_from(spec.stop.grace.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Where an instance's output goes.
pub(crate) fn log_spec(log_dir: &Path, spec: &ServiceSpec, index: u16) -> LogSpec {
    LogSpec {
        path: log_dir.join(&spec.name).join(format!("{index}.log")),
        max_size: spec.logs.max_size,
        keep: spec.logs.keep,
    }
}

/// The settings with the address that the instance itself is at, for whoever talks to it and not to what stands before
/// it.
pub(crate) fn resolved(spec: &ServiceSpec, port: Option<u16>) -> ServiceSpec {
    let mut spec = spec.clone();
    if let (true, Some(port)) = (spec.has_own_ports(), port) {
        spec.listen = Some(format!("127.0.0.1:{port}"));
    }
    spec
}

/// `{port}` replaced, where there is a port.
pub(crate) fn with_port(text: &str, port: Option<u16>) -> String {
    match port {
        Some(port) if text.contains("{port}") => text.replace("{port}", &port.to_string()),
        _ => text.to_owned(),
    }
}

/// A dotenv file as it was last read.
#[derive(Debug, Default)]
struct EnvFile {
    read_at: Option<SystemTime>,
    values: Vec<(String, String)>,
}

/// Makes the shim's [`Spawn`] of an instance, without touching the disk unless the `env_file` changed.
pub(crate) struct Launch {
    spec: Arc<ServiceSpec>,
    port: Option<u16>,
    base: Arc<BTreeMap<String, String>>,
    file: EnvFile,
    /// Made ahead of the next start.
    env: Option<Arc<BTreeMap<String, String>>>,
    fingerprint: String,
}

impl Launch {
    pub(crate) fn new(
        spec: Arc<ServiceSpec>,
        port: Option<u16>,
        base: Arc<BTreeMap<String, String>>,
    ) -> Self {
        let mut launch = Self {
            fingerprint: fingerprint(&spec),
            spec,
            port,
            base,
            file: EnvFile::default(),
            env: None,
        };
        // What cannot be read now is told at the start.
        let _ = launch.environment();
        launch
    }

    /// The environment the service's process and its exec probes get.
    pub(crate) fn environment(&mut self) -> Result<Arc<BTreeMap<String, String>>, Problem> {
        self.read_file()?;
        if let Some(env) = &self.env {
            return Ok(Arc::clone(env));
        }
        let mut env = (*self.base).clone();
        env.extend(self.file.values.iter().cloned());
        let own = self.spec.env.iter();
        env.extend(own.map(|(name, value)| (name.clone(), with_port(value, self.port))));
        let named = self.spec.env.contains_key("PORT")
            || self.file.values.iter().any(|(name, _)| name == "PORT");
        if let (Some(port), false) = (self.port, named) {
            env.insert("PORT".to_owned(), port.to_string());
        }
        let env = Arc::new(env);
        self.env = Some(Arc::clone(&env));
        Ok(env)
    }

    /// Of the settings it starts with.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The working folder: as configured, else the home, else the root.
    pub(crate) fn folder(&self) -> PathBuf {
        let home = || self.base.get("HOME").map(PathBuf::from);
        self.spec
            .cwd
            .clone()
            .or_else(home)
            .filter(|folder| folder.is_absolute())
            .unwrap_or_else(|| PathBuf::from("/"))
    }

    /// The program and its arguments.
    pub(crate) fn command(&self) -> Vec<String> {
        let Run::Process(command) = &self.spec.run else {
            return Vec::new();
        };
        command
            .iter()
            .map(|arg| with_port(arg, self.port))
            .collect()
    }

    /// The whole frame but its label.
    pub(crate) fn spawn(&mut self, log: LogSpec, label: Vec<u8>) -> Result<Spawn, Problem> {
        let env = self.environment()?;
        Ok(Spawn {
            argv: self.command().into_iter().map(Into::into).collect(),
            cwd: self.folder(),
            env: env.iter().map(|(k, v)| (k.into(), v.into())).collect(),
            label,
            log,
            stop: stop_spec(&self.spec),
        })
    }

    fn read_file(&mut self) -> Result<(), Problem> {
        let Some(path) = &self.spec.env_file else {
            return Ok(());
        };
        let failed = |detail: String| {
            Problem::new(
                Code::ActionFailed,
                format!(
                    "{} cannot start: its env_file {} cannot be read",
                    self.spec.name,
                    path.display()
                ),
            )
            .detail(detail)
            .remedy("mend or remove env_file")
        };
        let changed_at = std::fs::metadata(path)
            .and_then(|m| m.modified())
            .map_err(|e| failed(e.to_string()))?;
        if self.file.read_at == Some(changed_at) {
            return Ok(());
        }
        let content = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
        let mut values = Vec::new();
        for (number, item) in dotenvy::from_read_iter(content.as_slice()).enumerate() {
            // The offending text may be a secret: only its place is told.
            values
                .push(item.map_err(|_| failed(format!("entry {} is not NAME=value", number + 1)))?);
        }
        self.env = None;
        self.file = EnvFile {
            read_at: Some(changed_at),
            values,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_set_is_not_in_a_fingerprint() {
        let mut new = json!({
            "kind": "command", "run": {"process": ["x", ""]}, "several": false,
            "cwd": null, "later": null, "options": {"a": null, "b": [], "c": {"d": null}},
        });
        prune(&mut new);
        let old = json!({"kind": "command", "run": {"process": ["x", ""]}, "several": false});
        assert_eq!(new, old);
    }

    #[test]
    fn what_a_process_is_started_with_is_in_its_fingerprint() {
        let spec = crate::machine::a_spec();
        let same = fingerprint(&spec);
        let mut other = spec.clone();
        other.limits.memory = Some(1);
        other.stop.grace = std::time::Duration::ZERO;
        assert_eq!(fingerprint(&other), same);
        other.env.insert("X".to_owned(), String::new());
        assert_ne!(fingerprint(&other), same);
    }
}
