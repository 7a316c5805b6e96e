//! A real shim in a folder of its own, and a small blocking engine that speaks to it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cockpit_shim::log::reader::tail;
use cockpit_shim::protocol::{
    Exit, FromShim, Inbox, LogSpec, Spawn, SpawnError, Started, StopSpec, ToShim, VERSION, Welcome,
    encode,
};
use cockpit_shim::tree::{Identity, end_marked, pidfile};
use rustix::process::Signal;

/// Long enough for any machine: only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Shim {
    pub folder: tempfile::TempDir,
    pub process: Child,
    pub marker: String,
}

impl Shim {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let unique = folder.path().file_name().unwrap().to_str().unwrap();
        let marker = format!("test-{}-{unique}", std::process::id());
        let mut process = Command::new(env!("CARGO_BIN_EXE_cockpit-shim"))
            .arg(folder.path().join("s.sock"))
            .arg(folder.path().join("s.pid"))
            .args(["--instance", &marker, "--name", "test"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        // It lets go of what it was given.
        assert_eq!(stdout.read_line(&mut line).unwrap(), 0);
        Self {
            folder,
            process,
            marker,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn connect(&self) -> (Engine, Welcome) {
        Engine::connect(&self.path("s.sock"))
    }

    pub fn spawn_of(&self, argv: &[&str]) -> Spawn {
        Spawn {
            argv: argv.iter().map(OsString::from).collect(),
            cwd: self.folder.path().to_owned(),
            env: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
            label: b"label".to_vec(),
            log: LogSpec {
                path: self.path("s.log"),
                max_size: 1_000_000,
                keep: 2,
            },
            stop: StopSpec {
                signal: Signal::TERM.as_raw(),
                grace_ms: 60_000,
            },
        }
    }

    pub fn log(&self) -> Vec<String> {
        let lines = tail(&self.path("s.log"), 1000, None).unwrap().lines;
        lines
            .into_iter()
            .map(|l| format!("{} {}", l.stream.as_str(), l.text))
            .collect()
    }

    /// The log, as soon as its last line is this remark of the cockpit's.
    pub fn log_until(&self, remark: &str) -> Vec<String> {
        let last = format!("cockpit {remark}");
        eventually(remark, || {
            Some(self.log()).filter(|log| log.last() == Some(&last))
        })
    }

    /// Waits until a file that the child writes is there, and gives its content.
    pub fn written(&self, name: &str) -> String {
        let path = self.path(name);
        eventually(name, || {
            std::fs::read_to_string(&path)
                .ok()
                .filter(|text| text.ends_with('\n'))
        })
        .trim()
        .to_owned()
    }

    /// The process whose pid the child wrote into this file.
    pub fn identity(&self, name: &str) -> Identity {
        Identity::of(self.written(name).parse().unwrap()).unwrap()
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let leader = pidfile::read(&self.path("s.pid"))
            .ok()
            .and_then(|p| p.leader);
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = end_marked(&self.marker, leader, 9, Duration::ZERO);
    }
}

/// Asks until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub struct Engine {
    stream: UnixStream,
    inbox: Inbox,
}

impl Engine {
    pub fn connect(path: &Path) -> (Self, Welcome) {
        let mut engine = Self::begin(path);
        match engine.hear() {
            FromShim::Welcome(welcome) => (engine, *welcome),
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// Says hello, and hears nothing yet.
    pub fn begin(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut engine = Self {
            stream,
            inbox: Inbox::new(),
        };
        engine.say(&ToShim::Hello { version: VERSION });
        engine
    }

    pub fn say(&mut self, message: &ToShim) {
        let mut bytes = Vec::new();
        encode(message, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next message; `None` when the shim closed the connection.
    pub fn next(&mut self) -> Option<FromShim> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(message) = self.inbox.next_message().unwrap() {
                return Some(message);
            }
            match self.stream.read(&mut bytes).unwrap() {
                0 => return None,
                n => self.inbox.push(&bytes[..n]),
            }
        }
    }

    pub fn hear(&mut self) -> FromShim {
        self.next().expect("the shim closed the connection")
    }

    pub fn spawn(&mut self, spawn: Spawn) -> Started {
        self.say(&ToShim::Spawn(Box::new(spawn)));
        match self.hear() {
            FromShim::Started(started) => started,
            other => panic!("not started but {other:?}"),
        }
    }

    pub fn fail_to_spawn(&mut self, spawn: Spawn) -> SpawnError {
        self.say(&ToShim::Spawn(Box::new(spawn)));
        match self.hear() {
            FromShim::SpawnFailed(error) => error,
            other => panic!("not failed but {other:?}"),
        }
    }

    pub fn exit(&mut self) -> Exit {
        match self.hear() {
            FromShim::Exited(exit) => exit,
            other => panic!("no exit but {other:?}"),
        }
    }

    pub fn empty(&mut self) {
        let heard = self.hear();
        assert_eq!(heard, FromShim::TreeEmpty);
    }
}
