//! Builds every part from the configuration and wires them: the one place where all meet.
//!
//! Theory of operation. [`run`] takes the data folder (one engine each, held by a lock), opens the
//! two databases, opens the two doors of the API, hands the services to the supervisor, and then
//! waits for a signal or for a client's word. Beside it run a thread that measures the machine each
//! second ([`pulse`]), and tasks that read a saved configuration again ([`reload`]) and that act on
//! events ([`follow`]): the verdict, desktop notifications, keeping the machine awake.
//!
//! The services do not end with the engine: their shims hold them, and the next engine finds them.
//!
//! **Invariant:** a configuration that does not hold starts nothing and touches nothing that runs.

mod adapters;
mod charts;
mod cockpit;
mod demo;
mod doors;
mod ended;
mod folder;
mod follow;
mod health;
mod ingest;
mod keys;
mod prices;
mod pulse;
mod reload;
mod traffic;
mod ui;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use cockpit_api::{Access, SignIn};
use cockpit_config::Config;
use cockpit_gateway::Gateway;
use cockpit_model::host::HostSample;
use cockpit_model::usage::Interruption;
use cockpit_model::verdict::{ConfigError, ConfigState, ConfigStatus, EngineInfo};
use cockpit_model::{Code, EventBody, Mark, Problem, Timestamp, Verdict};
use cockpit_store::{Ledger, Opened, Prompts, StateDb, Telemetry};
use cockpit_supervisor::{Parts, Supervisor};
use cockpit_telemetry::Bus;
use cockpit_telemetry::ingest::notices::Notices;
use cockpit_telemetry::ingest::otlp::Intake;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli::folder::{DataFolder, EngineFile};

/// The version a client compares with its own.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long the doors wait for running services to be found again.
const DOORS_WAIT: Duration = Duration::from_secs(2);

/// How an engine is started.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Where its data is.
    pub data: DataFolder,
    /// The configuration; none: `cockpit.toml` in the data folder.
    pub config: Option<PathBuf>,
    /// Whether the services end with it when a signal ends it.
    pub stop_services_on_exit: bool,
    /// Whether to serve even though the configuration does not hold, and to start the services once
    /// it is mended. For an engine nobody watches a terminal of.
    pub await_config: bool,
    /// Whether this is the bundled demo stack.
    pub demo: bool,
}

/// Why an engine did not start. Nothing was started or touched.
#[derive(Debug)]
pub enum StartError {
    /// The configuration does not hold.
    Config(Vec<ConfigError>),
    /// Something else.
    Problem(Problem),
}

impl From<Problem> for StartError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// How a running engine is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ending {
    stop_services: bool,
}

/// The settings the TCP door was opened with; others are taken up by the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenedWith {
    listen: std::net::SocketAddr,
    allowed_hosts: Vec<String>,
}

impl OpenedWith {
    fn of(config: &Config) -> Self {
        Self {
            listen: config.cockpit.listen,
            allowed_hosts: config.cockpit.allowed_hosts.clone(),
        }
    }
}

/// All that the API's answers are made of.
struct Engine {
    info: EngineInfo,
    data: DataFolder,
    config_path: PathBuf,
    home: PathBuf,
    bus: Bus,
    state: Arc<StateDb>,
    /// Why `state.db` is not in use.
    state_trouble: Option<String>,
    telemetry: Telemetry,
    /// Every request to a model.
    ledger: Ledger,
    /// What was said, where a person wants that kept.
    prompts: Prompts,
    /// Who else hears of them.
    ended: Arc<ended::Ended>,
    /// The gateway and where it listens. Held while doors are opened or closed.
    traffic: tokio::sync::Mutex<Option<doors::Open>>,
    /// The same, for questions that must not wait.
    gateway: Mutex<Option<Gateway>>,
    /// Where it listens, or why not.
    doors: Mutex<Vec<doors::Door>>,
    /// Providers whose requests fail.
    failing: Mutex<Vec<health::Failing>>,
    /// What of the reports was told lately.
    notices: Mutex<Notices>,
    /// What vendors ask for their models.
    prices: prices::List,
    /// Takes OTLP, once there was a door for it.
    intake: OnceLock<Arc<Intake>>,
    /// Its open door. Held while it is opened or closed.
    otlp: tokio::sync::Mutex<Option<ingest::Open>>,
    /// Why it is not open although it should be.
    otlp_trouble: Mutex<Option<String>>,
    adapters: adapters::Adapters,
    /// Absent until a configuration has held once.
    supervisor: OnceLock<Supervisor>,
    config: Mutex<ConfigStatus>,
    opened_with: OpenedWith,
    /// The configuration in force.
    settings: Mutex<Option<Arc<Config>>>,
    verdict: Mutex<Option<Verdict>>,
    latest: Mutex<Option<HostSample>>,
    /// When requests to models may be missing, the newest last.
    interruptions: Vec<Interruption>,
    /// Whether the last of them is of the engine before this one.
    was_interrupted: bool,
    ending: watch::Sender<Option<Ending>>,
}

/// Runs an engine until a signal or a client ends it.
///
/// # Errors
/// Nothing was started or touched when it answers one.
pub async fn run(options: EngineOptions) -> Result<(), StartError> {
    let _lock = folder::claim(&options.data).await?;
    let config_path = match &options.config {
        None if options.demo => demo::prepare(&options.data)?,
        None => options.data.config(),
        Some(path) => path.clone(),
    };
    let home = cockpit_platform::paths::home().unwrap_or_else(|| PathBuf::from("/"));
    // Looked at before it is read: a change in between is seen afterwards.
    let mark = reload::mark(&config_path);
    let loaded = reload::load(&config_path, &home);
    let config = match loaded {
        Ok(config) => Ok(Arc::new(config)),
        Err(errors) if options.await_config => Err(errors),
        Err(errors) => return Err(StartError::Config(errors)),
    };
    let opened_with = config.as_ref().map_or_else(
        |_| OpenedWith {
            listen: reload::usual_listen(),
            allowed_hosts: Vec::new(),
        },
        |config| OpenedWith::of(config),
    );
    let tcp = folder::bind_tcp(opened_with.listen).await?;
    let token = folder::token(&options.data)?;
    let unix = folder::bind_unix(&options.data)?;
    let engine = Arc::new(open(
        &options,
        config_path,
        home,
        opened_with,
        config.as_ref().err(),
    )?);
    engine.publish_opening();
    let _announcement = folder::announce(&options.data, &engine.info, &tcp)?;
    let sign_in = SignIn::new(token.as_str());
    let access = access(&tcp, token, &engine.opened_with)?;

    let stopping = CancellationToken::new();
    let pulse = pulse::start(&engine, stopping.clone());
    let tasks = [
        tokio::spawn(follow::run(Arc::clone(&engine), stopping.clone())),
        tokio::spawn(reload::watch(Arc::clone(&engine), mark, stopping.clone())),
        tokio::spawn(doors::watch(Arc::clone(&engine), stopping.clone())),
        tokio::spawn(ingest::watch(Arc::clone(&engine), stopping.clone())),
        tokio::spawn(keys::watch(Arc::clone(&engine), stopping.clone())),
        tokio::spawn(prices::watch(Arc::clone(&engine), stopping.clone())),
    ];
    // The first that is reported is priced with them.
    let listed = config
        .as_ref()
        .ok()
        .and_then(|config| config.prices.clone());
    prices::obey(&engine, listed).await;
    let mut taking_up = pin!(async {
        match config {
            Ok(config) => engine.supervise(config).await,
            Err(_) => Ok(()),
        }
    });
    let mut signal = pin!(signalled());
    // Who asks meanwhile waits at the door, so that nobody is told of no services. But a shim that
    // does not answer must not keep the doors shut.
    let taken_up = tokio::time::timeout(DOORS_WAIT, &mut taking_up).await;
    let api: Arc<dyn cockpit_api::Cockpit> = Arc::new(cockpit::Door(Arc::clone(&engine)));
    let router = cockpit_api::router(api, ui::embedded(), sign_in);
    let doors = [
        tokio::spawn(cockpit_api::serve_tcp(
            tcp,
            router.clone(),
            access,
            stopping.clone().cancelled_owned(),
        )),
        tokio::spawn(cockpit_api::serve_unix(
            unix,
            router,
            stopping.clone().cancelled_owned(),
        )),
    ];
    match taken_up {
        Ok(outcome) => outcome?,
        Err(_) => tokio::select! {
            outcome = taking_up => outcome?,
            // What was not taken up is left as it is.
            () = &mut signal => return Ok(()),
        },
    }
    let stop_services = options.stop_services_on_exit;
    // Where a keychain asks the person, that takes as long as it takes.
    let ending = tokio::select! {
        () = open_doors(&engine) => engine.ended(signal, stop_services).await,
        () = &mut signal => Ending { stop_services },
    };
    tracing::info!(stop_services = ending.stop_services, "the engine ends");

    if let Some(supervisor) = engine.supervisor.get() {
        tokio::select! {
            () = supervisor.shutdown(ending.stop_services) => {}
            // Who asks twice wants the prompt back; the shims hold what has not ended yet.
            () = signalled() => supervisor.shutdown(false).await,
        }
    }
    doors::end(&engine).await;
    ingest::end(&engine).await;
    stopping.cancel();
    for task in doors.into_iter().chain(tasks) {
        let _ = task.await;
    }
    let _ = tokio::task::spawn_blocking(move || pulse.join()).await;
    let closing = Arc::clone(&engine);
    let _ = tokio::task::spawn_blocking(move || {
        closing.ledger.close();
        closing.prompts.close();
        // Not only flushed: what does not close its numbers leaves a gap to whoever resumes.
        closing.telemetry.close();
    })
    .await;
    Ok(())
}

/// Opens the gateway and the door for OpenTelemetry, as the settings say.
async fn open_doors(engine: &Arc<Engine>) {
    let spec = engine
        .settings()
        .as_ref()
        .and_then(|config| config.traffic.clone());
    doors::obey(engine, spec.as_ref()).await;
    let otlp = engine.settings().as_ref().and_then(|config| config.otlp);
    ingest::obey(engine, otlp).await;
}

/// Opens the databases and sets the parts side by side; nothing moves yet.
fn open(
    options: &EngineOptions,
    config_path: PathBuf,
    home: PathBuf,
    opened_with: OpenedWith,
    errors: Option<&Vec<ConfigError>>,
) -> Result<Engine, Problem> {
    let storage = |error: cockpit_store::Error| Problem::new(Code::Storage, error.to_string());
    let (state, state_opened) =
        StateDb::open(options.data.path().join("state.db")).map_err(storage)?;
    let (telemetry, telemetry_opened) =
        Telemetry::open(options.data.path().join("telemetry.db")).map_err(storage)?;
    let (ledger, ledger_opening) =
        Ledger::open(options.data.path().join("ledger.db")).map_err(storage)?;
    let bus = Bus::new(telemetry.last_seq());
    let started_at = Timestamp::now();
    let mut interruptions = interruptions(&telemetry, started_at);
    interruptions.extend(ledger_opening.known_until.map(|from| Interruption {
        from,
        to: started_at,
    }));
    let engine = Engine {
        info: EngineInfo {
            version: VERSION.to_owned(),
            pid: std::process::id(),
            started_at,
            data_dir: options.data.path().display().to_string(),
            config_path: config_path.display().to_string(),
            demo: options.demo,
            trouble: Vec::new(),
        },
        data: options.data.clone(),
        config_path,
        adapters: adapters::Adapters::new(home.clone()),
        home,
        ended: Arc::new(ended::Ended::new(bus.clone())),
        bus,
        state: Arc::new(state),
        state_trouble: match &state_opened {
            Opened::Unavailable { why } => Some(why.clone()),
            Opened::Fresh | Opened::Ok | Opened::SetAside { .. } => None,
        },
        telemetry,
        ledger,
        prompts: Prompts::new(options.data.path().join("prompts.db")).map_err(storage)?,
        traffic: tokio::sync::Mutex::new(None),
        gateway: Mutex::new(None),
        doors: Mutex::default(),
        failing: Mutex::default(),
        notices: Mutex::default(),
        prices: prices::List::default(),
        intake: OnceLock::new(),
        otlp: tokio::sync::Mutex::new(None),
        otlp_trouble: Mutex::new(None),
        supervisor: OnceLock::new(),
        config: Mutex::new(ConfigStatus {
            state: if errors.is_some() {
                ConfigState::Invalid
            } else {
                ConfigState::Ok
            },
            errors: errors.cloned().unwrap_or_default(),
            warnings: Vec::new(),
        }),
        opened_with,
        settings: Mutex::new(None),
        verdict: Mutex::new(None),
        latest: Mutex::new(None),
        interruptions,
        was_interrupted: ledger_opening.known_until.is_some(),
        ending: watch::Sender::new(None),
    };
    engine.say_if_in_trouble("state.db", &state_opened);
    engine.say_if_in_trouble("telemetry.db", &telemetry_opened);
    engine.say_if_in_trouble("ledger.db", &ledger_opening.opened);
    if let Some(until) = ledger_opening.known_until {
        engine.publish(EventBody::Cockpit {
            level: "warning".to_owned(),
            message: format!(
                "the engine ended abruptly: requests to models after {until} may be missing, at most those of its \
                 last tenth of a second"
            ),
        });
    }
    Ok(engine)
}

fn access(tcp: &TcpListener, token: String, opened: &OpenedWith) -> Result<Access, Problem> {
    let listen = tcp.local_addr().map_err(|error| {
        Problem::new(Code::Internal, "the listener has no address").detail(error.to_string())
    })?;
    Ok(Access {
        token,
        listen,
        allowed_hosts: opened.allowed_hosts.clone(),
        allowed_origins: Vec::new(),
    })
}

impl Engine {
    /// Puts the first configuration that holds in force.
    async fn supervise(&self, config: Arc<Config>) -> Result<(), Problem> {
        self.adapters.obey(&config);
        let supervisor = Supervisor::start(self.parts()?, config.services.clone())
            .await
            .map_err(|error| Problem::new(Code::Storage, error.to_string()))?;
        let adopted = supervisor.adopted();
        // Only one task comes here: the start, or the reload that first saw the file hold.
        let _ = self.supervisor.set(supervisor);
        self.config().warnings.clone_from(&config.warnings);
        *self.settings() = Some(config);
        self.publish(EventBody::Mark(Mark::EngineStarted {
            version: VERSION.to_owned(),
            adopted,
            known_until: self
                .interruptions
                .last()
                .filter(|_| self.was_interrupted)
                .map(|interruption| interruption.from),
        }));
        Ok(())
    }

    fn parts(&self) -> Result<Parts, Problem> {
        let manual_stops = self
            .state
            .manual_stops()
            .map_err(|error| Problem::new(Code::Storage, error.to_string()))?;
        let bus = self.bus.clone();
        let telemetry = self.telemetry.clone();
        Ok(Parts {
            run_dir: cockpit_platform::paths::run_dir(self.data.path())?,
            log_dir: self.data.path().join("logs"),
            shim: sibling("studio-cockpit-shim")?,
            surroundings: self.adapters.surroundings(),
            drivers: self.adapters.drivers(),
            events: Arc::new(move |body| publish(&bus, &telemetry, body)),
            memory: Arc::new(adapters::ManualStops(Arc::clone(&self.state))),
            manual_stops: manual_stops.into_keys().collect(),
        })
    }

    fn publish(&self, body: EventBody) {
        publish(&self.bus, &self.telemetry, body);
    }

    fn publish_opening(&self) {
        let config = self.config().clone();
        if config.state == ConfigState::Invalid {
            let summary = config
                .errors
                .first()
                .map(ToString::to_string)
                .unwrap_or_default();
            self.publish(EventBody::Config { ok: false, summary });
        }
    }

    fn say_if_in_trouble(&self, name: &str, opened: &Opened) {
        let message = match opened {
            Opened::Fresh | Opened::Ok => return,
            Opened::SetAside { moved_to, why } => format!(
                "{name} was damaged ({why}); it is kept as {} and a new one was begun",
                moved_to.display()
            ),
            Opened::Unavailable { why } => {
                format!("{name} is not in use, and the services are kept up without it: {why}")
            }
        };
        tracing::error!("{message}");
        self.publish(EventBody::Cockpit {
            level: "error".to_owned(),
            message,
        });
    }

    /// Resolves when a signal or a client ends the engine.
    async fn ended(&self, signal: impl Future<Output = ()>, stop_services: bool) -> Ending {
        let mut asked = self.ending.subscribe();
        let asked = asked.wait_for(Option::is_some);
        tokio::select! {
            asked = asked => {
                asked.ok().and_then(|ending| *ending).unwrap_or(Ending { stop_services: false })
            }
            () = signal => Ending { stop_services },
        }
    }

    fn config(&self) -> MutexGuard<'_, ConfigStatus> {
        whole(&self.config)
    }

    fn settings(&self) -> MutexGuard<'_, Option<Arc<Config>>> {
        whole(&self.settings)
    }
}

/// Those of earlier lives, as each told at its start.
fn interruptions(telemetry: &Telemetry, now: Timestamp) -> Vec<Interruption> {
    const MOST: usize = 1000;
    let marks = telemetry.marks(Timestamp::UNIX_EPOCH, now, MOST);
    let marks = marks.unwrap_or_else(|error| {
        tracing::warn!(%error, "earlier interruptions are not known");
        Vec::new()
    });
    let interruption = |event: &cockpit_model::Event| match event.body {
        EventBody::Mark(Mark::EngineStarted {
            known_until: Some(from),
            ..
        }) => Some(Interruption { from, to: event.at }),
        _ => None,
    };
    marks.iter().rev().filter_map(interruption).collect()
}

/// Tells the bus, and the store what is kept. Never waits.
fn publish(bus: &Bus, telemetry: &Telemetry, body: EventBody) {
    publish_at(bus, telemetry, Timestamp::now(), body);
}

/// The same of what happened at another time.
fn publish_at(bus: &Bus, telemetry: &Telemetry, at: Timestamp, body: EventBody) {
    let kept = !body.is_live_only();
    let event = bus.publish(at, body);
    if kept {
        telemetry.record_event(&event);
    }
}

/// Locks what is replaced in one move, and therefore whole even after a panic elsewhere.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resolves at the next signal that asks a program to end; closing the terminal is one. Heard from now on, also before
/// anybody waits: whoever is told that Ctrl-C ends it may press it at once.
fn signalled() -> impl Future<Output = ()> + Send {
    use tokio::signal::unix::{SignalKind, signal};
    let streams = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    );
    async {
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = streams else {
            tracing::warn!("cannot listen for signals; end the engine through its API");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// An executable that is installed beside this one.
fn sibling(name: &str) -> Result<PathBuf, Problem> {
    let missing = |detail: String| {
        Problem::new(Code::Internal, format!("{name} is not beside this program"))
            .detail(detail)
            .remedy("install the whole package again")
    };
    let own = std::env::current_exe().map_err(|error| missing(error.to_string()))?;
    let path = own.parent().unwrap_or_else(|| Path::new("/")).join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(missing(path.display().to_string()))
    }
}

/// What [`folder::announce`] writes.
fn engine_file(info: &EngineInfo, listen: std::net::SocketAddr) -> EngineFile {
    EngineFile {
        pid: info.pid,
        version: info.version.clone(),
        listen,
        started_at: info.started_at,
    }
}
