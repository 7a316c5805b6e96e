//! How the crates that do not know each other meet: presets as the supervisor's drivers, the platform
//! as the supervisor's and the presets' surroundings, the store as the supervisor's memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cockpit_config::Config;
use cockpit_model::logs::{LogLine, LogQuery};
use cockpit_model::{Event, PortHolder, Problem, ServiceSpec, Timestamp};
use cockpit_panics::outlived;
use cockpit_platform::{environment, ports, take_over};
use cockpit_presets::Preset;
use cockpit_store::{StateDb, Telemetry};
use cockpit_supervisor::{Driver, Drivers, Memory, Observation, Surroundings};
use cockpit_telemetry::History;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

type Env = Arc<BTreeMap<String, String>>;

/// The machine as the supervisor and the presets see it.
pub(super) struct Adapters {
    machine: Arc<Machine>,
    presets: cockpit_presets::Surroundings,
}

impl Adapters {
    pub(super) fn new(home: PathBuf) -> Self {
        let machine = Arc::new(Machine {
            login_shell: AtomicBool::new(false),
        });
        let asked = Arc::clone(&machine);
        let presets = cockpit_presets::Surroundings::new(
            move || {
                let machine = Arc::clone(&asked);
                async move { machine.env().await }.boxed()
            },
            |port| ports::holder(port).boxed(),
            Some(home),
        );
        Self { machine, presets }
    }

    /// Takes up what the configuration says of the surroundings.
    pub(super) fn obey(&self, config: &Config) {
        self.machine
            .login_shell
            .store(config.cockpit.login_shell_env, Ordering::Relaxed);
    }

    pub(super) fn surroundings(&self) -> Arc<dyn Surroundings> {
        Arc::clone(&self.machine) as Arc<dyn Surroundings>
    }

    pub(super) fn presets(&self) -> &cockpit_presets::Surroundings {
        &self.presets
    }

    pub(super) fn drivers(&self) -> Drivers {
        let presets = self.presets.clone();
        Arc::new(move |spec: &ServiceSpec| {
            let preset = cockpit_presets::preset_for(spec, &presets)?;
            Some(Arc::new(PresetDriver(preset)) as Arc<dyn Driver>)
        })
    }
}

struct Machine {
    /// Whether the login shell is asked for its environment.
    login_shell: AtomicBool,
}

impl Machine {
    async fn env(&self) -> Env {
        if self.login_shell.load(Ordering::Relaxed) {
            environment::login_environment().await
        } else {
            environment::own_environment()
        }
    }
}

impl Surroundings for Machine {
    fn environment(&self) -> BoxFuture<'_, Env> {
        self.env().boxed()
    }

    fn port_holder(&self, port: u16) -> BoxFuture<'_, Option<PortHolder>> {
        ports::holder(port).boxed()
    }

    fn take_over(&self, port: u16, holder: PortHolder) -> BoxFuture<'_, Result<(), Problem>> {
        async move {
            take_over::end_listener(port, Some(&holder))
                .await
                .map(|_| ())
        }
        .boxed()
    }
}

/// A manual stop outlives the engine: it is on the disk before the next thing happens.
pub(super) struct ManualStops(pub(super) Arc<StateDb>);

impl Memory for ManualStops {
    fn set_manual_stop(&self, service: &str, stopped: bool) -> Result<(), String> {
        let at = stopped.then(Timestamp::now);
        let written = self.0.set_manual_stop(service, at);
        written.map_err(|error| error.to_string())
    }
}

/// Events that the bus does not hold any more.
pub(super) struct Past(pub(super) Telemetry);

impl History for Past {
    fn page(
        &self,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Event>, String>> {
        let telemetry = self.0.clone();
        let reading = tokio::task::spawn_blocking(move || {
            outlived(|| telemetry.events_after(after, up_to, limit))
        });
        async move {
            let read = reading.await.map_err(|error| error.to_string())?;
            read.map_err(|error| error.to_string())
        }
        .boxed()
    }
}

struct PresetDriver(Arc<dyn Preset>);

impl Driver for PresetDriver {
    fn up(&self) -> BoxFuture<'_, Result<(), Problem>> {
        self.0.up()
    }

    fn down(&self) -> BoxFuture<'_, Result<(), Problem>> {
        self.0.down()
    }

    fn inspect(&self) -> BoxFuture<'_, Observation> {
        async move {
            let seen = self.0.inspect().await;
            Observation {
                version: seen.version,
                detail: seen.detail,
                ready: seen.ready,
                owner: seen.owner,
                owner_detail: seen.owner_detail,
            }
        }
        .boxed()
    }

    fn after_ready(&self) -> BoxFuture<'_, ()> {
        self.0.after_ready()
    }

    fn logs(&self, query: LogQuery) -> BoxFuture<'_, Result<Vec<LogLine>, Problem>> {
        self.0.logs(query)
    }

    fn follow(
        &self,
        query: LogQuery,
    ) -> BoxFuture<'_, Result<BoxStream<'static, LogLine>, Problem>> {
        self.0.follow(query)
    }
}
