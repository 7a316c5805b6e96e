//! A supervisor on a folder of its own, over real shims and real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cockpit_model::logs::{LogQuery, Stream};
use cockpit_model::spec::{
    Kind, LimitAction, LimitsSpec, LogSpec, PresetOptions, ProbeCheck, ProbeSpec, RestartPolicy,
    RestartSpec, Run, ServiceSpec, StopSpec,
};
use cockpit_model::{EventBody, InstanceState, PortHolder, Problem, Service};
use cockpit_supervisor::{Driver, Memory, Parts, Supervisor, Surroundings};
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

/// No test takes this long unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(90);

/// What happened so far.
#[derive(Default)]
pub struct Record {
    pub events: Mutex<Vec<EventBody>>,
    pub remembered: Mutex<Vec<(String, bool)>>,
    /// Why nothing can be remembered now.
    pub amnesia: Mutex<Option<String>>,
    news: Notify,
}

impl Memory for Record {
    fn set_manual_stop(&self, service: &str, stopped: bool) -> Result<(), String> {
        if let Some(why) = self.amnesia.lock().unwrap().clone() {
            return Err(why);
        }
        self.remembered
            .lock()
            .unwrap()
            .push((service.to_owned(), stopped));
        Ok(())
    }
}

/// The machine, as far as a test cares.
#[derive(Default)]
pub struct Machine {
    pub holder: Mutex<Option<PortHolder>>,
}

impl Surroundings for Machine {
    fn environment(&self) -> BoxFuture<'_, Arc<BTreeMap<String, String>>> {
        Box::pin(async { Arc::new(std::env::vars().collect()) })
    }
    fn port_holder(&self, _port: u16) -> BoxFuture<'_, Option<PortHolder>> {
        Box::pin(async { self.holder.lock().unwrap().clone() })
    }
    fn take_over(&self, _port: u16, _holder: PortHolder) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async { Ok(()) })
    }
}

pub struct Bench {
    pub folder: tempfile::TempDir,
    pub record: Arc<Record>,
    pub machine: Arc<Machine>,
    pub driver: Option<Arc<dyn Driver>>,
    pub manual_stops: BTreeSet<String>,
    supervisor: Option<Supervisor>,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            folder: tempfile::Builder::new()
                .prefix("sv")
                .tempdir_in("/tmp")
                .unwrap(),
            record: Arc::default(),
            machine: Arc::default(),
            driver: None,
            manual_stops: BTreeSet::new(),
            supervisor: None,
        }
    }

    pub async fn started(specs: Vec<ServiceSpec>) -> Self {
        let mut bench = Self::new();
        bench.start(specs).await;
        bench
    }

    pub async fn start(&mut self, specs: Vec<ServiceSpec>) {
        let (record, driver) = (Arc::clone(&self.record), self.driver.clone());
        let parts = Parts {
            run_dir: self.folder.path().join("r"),
            log_dir: self.folder.path().join("l"),
            shim: PathBuf::from(env!("CARGO_BIN_EXE_supervisor-test-shim")),
            surroundings: self.machine.clone(),
            drivers: Arc::new(move |_| driver.clone()),
            events: Arc::new(move |event| {
                record.events.lock().unwrap().push(event);
                record.news.notify_waiters();
            }),
            memory: self.record.clone(),
            manual_stops: self.manual_stops.clone(),
        };
        self.supervisor = Some(Supervisor::start(parts, specs).await.unwrap());
    }

    pub fn handle(&self) -> &Supervisor {
        self.supervisor.as_ref().unwrap()
    }

    /// The engine dies: the shims are told nothing. Returns when none of its tasks is left.
    pub async fn crash(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.shutdown(false).await;
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn service(&self, name: &str) -> Service {
        self.handle().service(name).unwrap()
    }

    pub fn pid(&self, name: &str) -> Option<u32> {
        self.service(name).instances[0].pid
    }

    pub fn shim_pid(&self, name: &str) -> u32 {
        let all = self.handle().processes();
        all.iter()
            .find(|p| p.service == name)
            .unwrap()
            .shim_pid
            .unwrap()
    }

    pub fn events(&self) -> Vec<EventBody> {
        self.record.events.lock().unwrap().clone()
    }

    /// Waits for events until `what` gives something.
    pub async fn wait<T>(&self, why: &str, mut what: impl FnMut(&Self) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let news = self.record.news.notified();
                if let Some(found) = what(self) {
                    return found;
                }
                // Not everything that is waited for tells of itself (a process that is gone).
                let _ = tokio::time::timeout(Duration::from_millis(50), news).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("{why} did not come: {:#?}", self.states()),
        }
    }

    fn states(&self) -> Vec<String> {
        let services = self.handle().services();
        services
            .iter()
            .map(|s| format!("{}: {:?}: {}", s.name, s.state, s.cause))
            .collect()
    }

    pub async fn state(&self, name: &str, state: InstanceState) -> Service {
        self.wait(&format!("{name} {state:?}"), |b| {
            Some(b.service(name)).filter(|s| s.state == state)
        })
        .await
    }

    /// Ready, as another process than `old`.
    pub async fn ready_again(&self, name: &str, old: u32) -> Service {
        self.wait(&format!("{name} ready again"), |b| {
            let service = b.service(name);
            let pid = service.instances[0].pid;
            (service.is_ready() && pid.is_some() && pid != Some(old)).then_some(service)
        })
        .await
    }

    pub async fn log(&self, name: &str) -> Vec<String> {
        let lines = self.log_lines(name).await;
        lines.into_iter().map(|(_, text)| text).collect()
    }

    async fn log_lines(&self, name: &str) -> Vec<(Stream, String)> {
        let query = LogQuery {
            tail: 1000,
            grep: None,
            instance: None,
        };
        let lines = self.handle().logs(name, query).await.unwrap();
        lines.into_iter().map(|l| (l.stream, l.text)).collect()
    }

    /// The log, once it ends so.
    pub async fn logged(&self, name: &str, end: &[(Stream, String)]) -> Vec<(Stream, String)> {
        let reading = async {
            loop {
                let lines = self.log_lines(name).await;
                if lines.ends_with(end) {
                    return lines;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(lines) => lines,
            Err(_) => panic!("{end:?} was not logged: {:#?}", self.log_lines(name).await),
        }
    }

    pub async fn end(mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.shutdown(true).await;
        }
        let left = std::fs::read_dir(self.path("r")).unwrap();
        let left: Vec<_> = left
            .map(|e| e.unwrap().file_name())
            .filter(|n| n != "bin")
            .collect();
        assert!(left.is_empty(), "left in the run folder: {left:?}");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A failed test leaves nothing behind either.
        for entry in std::fs::read_dir(self.path("r"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            if path.extension().is_some_and(|e| e == "pid")
                && let Ok(left) = cockpit_shim::tree::pidfile::read(&path)
            {
                left.shim.signal(rustix::process::Signal::KILL);
                let _ =
                    cockpit_shim::tree::end_marked(&left.marker, left.leader, 9, Duration::ZERO);
            }
        }
    }
}

pub fn spec(name: &str, command: &[&str]) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        kind: Kind::Command,
        run: Run::Process(command.iter().map(|&arg| arg.to_owned()).collect()),
        cwd: None,
        env: BTreeMap::new(),
        env_file: None,
        depends_on: Vec::new(),
        replicas: 1,
        listen: None,
        ready: None,
        live: None,
        start_timeout: Duration::from_secs(60),
        restart: RestartSpec {
            policy: RestartPolicy::Always,
            initial_delay: Duration::ZERO,
            max_delay: Duration::from_secs(30),
            reset_after: Duration::from_secs(30),
            max_restarts: None,
        },
        stop: StopSpec {
            signal: "SIGTERM".to_owned(),
            grace: Duration::from_secs(5),
        },
        limits: LimitsSpec {
            memory: None,
            action: LimitAction::Restart,
        },
        logs: LogSpec {
            max_size: 1 << 20,
            keep: 2,
        },
        autostart: true,
        options: PresetOptions::default(),
    }
}

pub fn sleeper(name: &str) -> ServiceSpec {
    spec(name, &["sleep", "1000"])
}

pub fn shell(name: &str, script: &str) -> ServiceSpec {
    spec(name, &["sh", "-c", script])
}

/// Answers HTTP on a port of its own.
pub fn server(name: &str) -> ServiceSpec {
    let port = free_port();
    let mut spec = spec(
        name,
        &[
            env!("CARGO_BIN_EXE_supervisor-test-service"),
            "serve",
            "{port}",
        ],
    );
    spec.listen = Some(format!("127.0.0.1:{port}"));
    spec.ready = Some(probe(ProbeCheck::Http(
        "http://127.0.0.1:{port}/".to_owned(),
    )));
    spec
}

pub fn probe(check: ProbeCheck) -> ProbeSpec {
    ProbeSpec {
        check,
        every: Duration::from_millis(200),
        timeout: Duration::from_millis(500),
        failures: 3,
        successes: 2,
    }
}

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

pub fn kill(pid: u32) {
    signal(pid, rustix::process::Signal::KILL);
}

pub fn alive(pid: u32) -> bool {
    cockpit_shim::tree::Identity::of(pid).is_some_and(cockpit_shim::tree::Identity::is_alive)
}

pub fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Runs a test on a runtime of its own.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}
