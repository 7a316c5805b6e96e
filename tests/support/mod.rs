//! A cockpit under test: the real executables, a data folder of its own, real child processes.
//!
//! Waiting is on the engine's own events: a wait reads the present once and then every change.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]
#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cockpit_model::verdict::ConfigState;
use cockpit_model::{InstanceState, Service, Status};
use futures_util::StreamExt as _;
use rustix::process::{Pid, Signal};
use studio_cockpit::cli::client::Client;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long anything may take on a slow and busy machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_studio-cockpit"))
}

/// Whom an unprivileged cockpit belongs to where the tests run as root.
const NOBODY: u32 = 65534;

pub struct Cockpit {
    pub dir: TempDir,
    pub engine: Option<Child>,
    /// What its programs find in their environment besides.
    pub env: Vec<(String, String)>,
    /// The programs, where they run as nobody: the checkout may be closed to them.
    programs: Option<TempDir>,
    /// What the marks of this cockpit's shims begin with, once one was seen.
    mark: std::sync::OnceLock<String>,
}

impl Cockpit {
    /// A data folder with this configuration; nothing runs yet.
    pub fn new(config: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("cockpit-")
            .tempdir()
            .unwrap();
        let cockpit = Self {
            dir,
            engine: None,
            env: Vec::new(),
            programs: None,
            mark: std::sync::OnceLock::new(),
        };
        cockpit.write_config(config);
        cockpit
    }

    /// The same for somebody who may not read everything, which root may: nobody, if need be.
    pub fn unprivileged(config: &str) -> Self {
        let mut cockpit = Self::new(config);
        if rustix::process::getuid().is_root() {
            let programs = tempfile::Builder::new()
                .prefix("cockpit-bin-")
                .permissions(fs::Permissions::from_mode(0o755))
                .tempdir()
                .unwrap();
            for name in ["studio-cockpit", "studio-cockpit-shim"] {
                fs::copy(exe().with_file_name(name), programs.path().join(name)).unwrap();
            }
            cockpit.programs = Some(programs);
            cockpit.own_all();
        }
        cockpit
    }

    /// Gives what lies in the data folder to whom the cockpit runs as.
    pub fn own_all(&self) {
        if self.programs.is_none() {
            return;
        }
        let nobody = |path: &Path| {
            std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        };
        nobody(self.data());
        for entry in fs::read_dir(self.data()).unwrap() {
            nobody(&entry.unwrap().path());
        }
    }

    /// The program, run as whom this cockpit belongs to.
    pub fn command(&self) -> Command {
        let Some(programs) = &self.programs else {
            let mut command = Command::new(exe());
            command.envs(self.env.clone());
            return command;
        };
        let mut command = Command::new("setpriv");
        command
            .envs(self.env.clone())
            .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
            .args(["--clear-groups", "--"])
            .arg(programs.path().join("studio-cockpit"))
            .env("HOME", self.data())
            .current_dir("/");
        command
    }

    /// The same, with the engine running.
    pub async fn start(config: &str) -> Self {
        let mut cockpit = Self::new(config);
        cockpit.serve().await;
        cockpit
    }

    pub fn data(&self) -> &Path {
        self.dir.path()
    }

    pub fn config_path(&self) -> PathBuf {
        self.data().join("cockpit.toml")
    }

    /// Saves the configuration as an editor does: a new file in the old one's place.
    pub fn write_config(&self, config: &str) {
        self.write_config_with(config, 0o644);
    }

    /// The same with these permissions.
    pub fn write_config_with(&self, config: &str, mode: u32) {
        let text = format!("[cockpit]\nlisten = \"127.0.0.1:0\"\n\n{config}");
        let new = self.data().join("cockpit.toml.new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(&new, self.config_path()).unwrap();
        self.own_all();
    }

    /// Starts the engine and waits until its door is open.
    pub async fn serve(&mut self) {
        self.serve_with(&[]).await;
    }

    pub async fn serve_with(&mut self, args: &[&str]) {
        self.begin("serve", args).await;
    }

    /// Starts an engine by a verb of its own and waits until its door is open.
    pub async fn begin(&mut self, verb: &str, args: &[&str]) {
        assert!(self.engine.is_none());
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.data().join("engine.log"))
            .unwrap();
        let mut engine = self
            .command()
            .arg(verb)
            .arg("--data-dir")
            .arg(self.data())
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let client = self.client();
        let deadline = Instant::now() + PATIENCE;
        // The one wait that cannot be on an event: the door is not there yet.
        while client.get_bytes("/readyz").await.is_err() {
            if let Some(status) = engine.try_wait().unwrap() {
                panic!("the engine ended with {status}\n{}", self.log());
            }
            assert!(
                Instant::now() < deadline,
                "the engine did not open\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.engine = Some(engine);
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.data().join("engine.log")).unwrap_or_default()
    }

    pub fn client(&self) -> Client {
        Client::new(self.data().join("engine.sock"))
    }

    /// Ends the engine as a power cut does; the services must not notice.
    pub async fn kill_engine(&mut self) {
        let mut engine = self.engine.take().expect("an engine runs");
        engine.kill().await.unwrap();
    }

    /// Ends the engine as a person does.
    pub async fn terminate_engine(&mut self) -> std::process::ExitStatus {
        let mut engine = self.engine.take().expect("an engine runs");
        let pid = Pid::from_raw(i32::try_from(engine.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        tokio::time::timeout(PATIENCE, engine.wait())
            .await
            .expect("the engine ends")
            .unwrap()
    }

    pub async fn status(&self) -> Status {
        self.client().get("/api/status").await.unwrap()
    }

    pub async fn service(&self, name: &str) -> Service {
        self.client()
            .get(&format!("/api/services/{name}"))
            .await
            .unwrap()
    }

    pub async fn services(&self) -> Vec<Service> {
        self.client().get("/api/services").await.unwrap()
    }

    pub async fn act(&self, name: &str, action: &str) -> Service {
        let path = format!("/api/services/{name}/{action}");
        self.client()
            .post(&path, &serde_json::json!({}))
            .await
            .unwrap()
    }

    /// Waits until all services together are as wanted.
    pub async fn wait(&self, what: &str, wanted: impl Fn(&[Service]) -> bool) -> Vec<Service> {
        let client = self.client();
        let changes = client.stream("/api/events/stream", None).await.unwrap();
        let mut changes = std::pin::pin!(changes);
        let mut last = self.services().await;
        let waiting = async {
            loop {
                if wanted(&last) {
                    return;
                }
                let message = changes.next().await.expect("the stream goes on").unwrap();
                if ["service", "service_removed", "gap", "config"].contains(&message.event.as_str())
                {
                    last = self.services().await;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!(
                "never saw: {what}\nlast: {}\n{}",
                brief(&self.services().await),
                self.log()
            );
        }
        self.services().await
    }

    /// Waits until one service is as wanted, and answers how it then was.
    pub async fn wait_for(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Service) -> bool,
    ) -> Service {
        let found = Mutex::new(None);
        self.wait(&format!("{name}: {what}"), |services| {
            let seen = services
                .iter()
                .find(|s| s.name == name && wanted(s))
                .cloned();
            let is = seen.is_some();
            *found.lock().unwrap() = seen;
            is
        })
        .await;
        found.into_inner().unwrap().unwrap()
    }

    /// Waits until the configuration is in this state, and answers the status.
    pub async fn wait_config(&self, wanted: ConfigState) -> Status {
        self.wait_status("the file is read again", |status| {
            status.config.state == wanted
        })
        .await
    }

    /// Waits until the status is as wanted: it is looked at again with every event.
    pub async fn wait_status(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let client = self.client();
        let changes = client.stream("/api/events/stream", None).await.unwrap();
        let mut changes = std::pin::pin!(changes);
        let waiting = async {
            loop {
                let status = self.status().await;
                if wanted(&status) {
                    return status;
                }
                changes.next().await.expect("the stream goes on").unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect(what)
    }

    pub async fn wait_ready(&self, name: &str) -> Service {
        self.wait_for(name, "ready", |s| s.state.is_ready()).await
    }

    /// Waits until it is ready with another process than `old`.
    pub async fn wait_successor(&self, name: &str, old: u32) -> Service {
        self.wait_for(name, "ready again with another process", |s| {
            s.state == InstanceState::Ready && s.instances[0].pid.is_some_and(|pid| pid != old)
        })
        .await
    }

    pub async fn wait_all_ready(&self) -> Vec<Service> {
        self.wait("all ready", |all| {
            !all.is_empty() && all.iter().all(Service::is_ready)
        })
        .await
    }

    /// A verb of the command line: exit code, standard output, standard error.
    pub async fn verb(&self, args: &[&str]) -> (i32, String, String) {
        self.verb_with(args, &[]).await
    }

    /// The same with these variables in its environment.
    pub async fn verb_with(&self, args: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
        let mut command = self.command();
        let (verb, rest) = args.split_first().unwrap();
        command
            .arg(verb)
            .args(rest)
            .arg("--data-dir")
            .arg(self.data());
        command.envs(env.iter().copied());
        told(command).await
    }
}

/// Runs a verb to its end: exit code, standard output, standard error.
pub async fn told(mut command: Command) -> (i32, String, String) {
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output())
        .await
        .expect("the verb ends")
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().expect("it ends by itself"),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A stand-in for a program: a shell script with this body.
pub fn script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Drop for Cockpit {
    /// Nothing of a test outlives it, whatever became of it.
    fn drop(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            let _ = engine.start_kill();
        }
        let services = self.family();
        for pid in self.shims().into_iter().chain(services) {
            let _ = rustix::process::kill_process(pid_of(pid), Signal::KILL);
        }
    }
}

impl Cockpit {
    /// The services' processes, whole trees: those that inherited a mark of one of our shims.
    pub fn family(&self) -> Vec<u32> {
        let marks = self.shims().into_iter().filter_map(|shim| {
            let line = fs::read(format!("/proc/{shim}/cmdline")).ok()?;
            let mut args = line.split(|byte| *byte == 0);
            args.find(|arg| arg == b"--instance")?;
            let mark = String::from_utf8(args.next()?.to_vec()).ok()?;
            Some(mark.split('-').next()?.to_owned())
        });
        let Some(mark) = self
            .mark
            .get()
            .cloned()
            .or_else(|| marks.into_iter().next())
        else {
            return Vec::new();
        };
        let needle = format!("STUDIO_COCKPIT_INSTANCE={mark}-").into_bytes();
        let _ = self.mark.set(mark);
        processes(|proc| {
            fs::read(proc.join("environ")).is_ok_and(|env| {
                env.split(|byte| *byte == 0)
                    .any(|var| var.starts_with(&needle))
            })
        })
    }

    /// The shims of this cockpit, by the folder their executable runs from; those of a demo in it too.
    pub fn shims(&self) -> Vec<u32> {
        let data = self.data();
        processes(|proc| fs::read_link(proc.join("exe")).is_ok_and(|exe| exe.starts_with(data)))
    }
}

/// The living processes of this machine that `wanted` accepts.
pub fn processes(wanted: impl Fn(&Path) -> bool) -> Vec<u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            (wanted(&entry.path()) && is_alive(pid)).then_some(pid)
        })
        .collect()
}

/// Whether a process exists and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(") ")
            .next()
            .unwrap_or("Z")
            .starts_with(['Z', 'X'])
    })
}

pub fn pid_of(raw: u32) -> Pid {
    Pid::from_raw(i32::try_from(raw).unwrap()).unwrap()
}

pub fn signal(pid: u32, signal: Signal) {
    rustix::process::kill_process(pid_of(pid), signal).unwrap();
}

/// A port that is free now; none comes twice. None of those that the system gives to whoever asks for any: of two
/// who want one port, one would have to wait for the other's end.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = rand::random_range(13_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// A service in one line, for a failed test's message.
pub fn brief(services: &[Service]) -> String {
    let line = |s: &Service| {
        let pids: Vec<_> = s.instances.iter().map(|i| i.pid).collect();
        format!("{} {} {pids:?} ({})", s.name, s.state.as_str(), s.cause)
    };
    services
        .iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n      ")
}

pub fn pid(service: &Service) -> u32 {
    service.instances[0].pid.expect("it runs")
}

/// The lines of a child's output.
pub fn lines(child: &mut Child) -> tokio::io::Lines<BufReader<tokio::process::ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

/// A double that somebody started by hand, under a name of their choice.
pub struct Foreign {
    pub child: Child,
    pub pid: u32,
    _bin: tempfile::TempDir,
}

impl Foreign {
    pub async fn start(name: &str, double: &str, port: u16) -> Self {
        let bin = tempfile::tempdir().unwrap();
        let program = bin.path().join(name);
        std::os::unix::fs::symlink(exe(), &program).unwrap();
        let child = Command::new(&program)
            .args(["simulate", double, "--port", &port.to_string()])
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let answers = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_err()
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answers)
            .await
            .expect("the double listens");
        Self {
            pid: child.id().unwrap(),
            child,
            _bin: bin,
        }
    }
}
