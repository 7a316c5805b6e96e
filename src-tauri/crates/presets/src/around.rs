//! What presets ask of the machine they are on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cockpit_model::{PortHolder, ServiceSpec};
use futures_util::future::BoxFuture;
use tracing::warn;

/// An environment for child processes.
pub type Env = Arc<BTreeMap<String, String>>;

type AskEnv = dyn Fn() -> BoxFuture<'static, Env> + Send + Sync;
type AskHolder = dyn Fn(u16) -> BoxFuture<'static, Option<PortHolder>> + Send + Sync;

/// The machine as presets see it. Cheap to clone.
#[derive(Clone)]
pub struct Surroundings {
    env: Arc<AskEnv>,
    holder: Arc<AskHolder>,
    home: Option<PathBuf>,
}

impl Surroundings {
    /// `env` gives the login shell's environment (it may take a moment the first time), `holder` who
    /// listens on a port of this machine, `home` the person's home folder.
    pub fn new<E, H>(env: E, holder: H, home: Option<PathBuf>) -> Self
    where
        E: Fn() -> BoxFuture<'static, Env> + Send + Sync + 'static,
        H: Fn(u16) -> BoxFuture<'static, Option<PortHolder>> + Send + Sync + 'static,
    {
        Self {
            env: Arc::new(env),
            holder: Arc::new(holder),
            home,
        }
    }

    /// The login shell's environment.
    pub(crate) async fn env(&self) -> Env {
        (self.env)().await
    }

    /// The environment a service's own tools run in: the login shell's, its `env_file`, its `env`.
    pub(crate) async fn env_of(&self, spec: &ServiceSpec) -> Env {
        let base = self.env().await;
        if spec.env.is_empty() && spec.env_file.is_none() {
            return base;
        }
        let mut all = (*base).clone();
        if let Some(file) = &spec.env_file {
            match dotenvy::from_path_iter(file) {
                // A line that does not parse is the configuration check's to name, without its text.
                Ok(pairs) => all.extend(pairs.filter_map(Result::ok)),
                Err(_) => warn!("{}: its env_file cannot be read", spec.name),
            }
        }
        all.extend(spec.env.clone());
        Arc::new(all)
    }

    /// Who listens on a port.
    pub(crate) async fn holder(&self, port: u16) -> Option<PortHolder> {
        (self.holder)(port).await
    }

    /// The home folder.
    pub(crate) fn home(&self) -> Option<&PathBuf> {
        self.home.as_ref()
    }
}

#[cfg(test)]
pub(crate) mod doubles {
    use super::{Arc, BTreeMap, PortHolder, Surroundings};
    use cockpit_model::spec::{
        Kind, LimitAction, LimitsSpec, LogSpec, PresetOptions, RestartPolicy, RestartSpec, Run,
        StopSpec,
    };
    use cockpit_model::{Owner, ServiceSpec};
    use futures_util::FutureExt as _;
    use std::path::PathBuf;
    use std::time::Duration;

    /// Surroundings with this process's environment, in which every port has that owner.
    pub(crate) fn around(home: Option<PathBuf>, owner: Option<Owner>) -> Surroundings {
        let env: BTreeMap<String, String> = std::env::vars().collect();
        around_with(env, home, owner)
    }

    pub(crate) fn around_with(
        env: BTreeMap<String, String>,
        home: Option<PathBuf>,
        owner: Option<Owner>,
    ) -> Surroundings {
        let env = Arc::new(env);
        Surroundings::new(
            move || futures_util::future::ready(Arc::clone(&env)).boxed(),
            move |_| {
                let holder = owner.map(|owner| PortHolder {
                    pid: Some(812),
                    name: "x".into(),
                    owner,
                    described: "x (pid 812)".into(),
                });
                futures_util::future::ready(holder).boxed()
            },
            home,
        )
    }

    pub(crate) fn spec(name: &str, kind: Kind) -> ServiceSpec {
        ServiceSpec {
            name: name.into(),
            kind,
            run: Run::Process(vec!["true".into()]),
            cwd: None,
            env: BTreeMap::new(),
            env_file: None,
            depends_on: vec![],
            replicas: 1,
            listen: None,
            ready: None,
            live: None,
            start_timeout: Duration::from_secs(300),
            restart: RestartSpec {
                policy: RestartPolicy::Always,
                initial_delay: Duration::ZERO,
                max_delay: Duration::from_secs(30),
                reset_after: Duration::from_secs(30),
                max_restarts: None,
            },
            stop: StopSpec {
                signal: "SIGTERM".into(),
                grace: Duration::from_secs(10),
            },
            limits: LimitsSpec {
                memory: None,
                action: LimitAction::Restart,
            },
            logs: LogSpec {
                max_size: 1 << 20,
                keep: 1,
            },
            autostart: true,
            options: PresetOptions::default(),
        }
    }
}
