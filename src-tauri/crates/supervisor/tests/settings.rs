//! Settings that change while a service runs: what its shim hears of them, also if it is older than its engine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use cockpit_model::spec::ServiceSpec;
use cockpit_model::{Action, InstanceState};
use cockpit_shim::protocol::{FromShim, Inbox, Message, ToShim, VERSION, Welcome, encode};
use common::{Bench, alive, kill, lines, shell, signal, sleeper};
use rustix::process::Signal;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_changed_is_how_a_stray_is_ended() {
    let mut bench = Bench::new();
    let said = bench.path("said");
    let script = format!(
        "trap 'echo usr1 >> {0}; exit' USR1; trap 'echo term >> {0}; exit' TERM; echo up >> {0}; while :; do sleep 0.05; done",
        said.display()
    );
    let mut api = shell("api", &script);
    bench.start(vec![api.clone()]).await;
    bench
        .wait("its traps", |_| (lines(&said) == ["up"]).then_some(()))
        .await;
    let pid = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    api.stop.signal = "SIGUSR1".to_owned();
    let changes = bench.handle().apply(vec![api]).await.unwrap();
    assert_eq!(changes.adjusted, ["api"]);
    bench.crash().await;
    bench.start(vec![]).await;
    bench
        .wait("the stray's end", |b| {
            let free = std::fs::read_dir(b.path("r")).unwrap().count() == 1;
            (!alive(pid) && free).then_some(())
        })
        .await;
    assert_eq!(lines(&said), ["up", "usr1"]);
    bench.end().await;
}

/// Writes which signal ended it to `said`.
fn talker(said: &Path) -> ServiceSpec {
    let script = format!(
        "trap 'echo usr1 >> {0}; exit' USR1; trap 'echo term >> {0}; exit' TERM; echo up >> {0}; while :; do sleep 0.05; done",
        said.display()
    );
    shell("api", &script)
}

fn socket(bench: &Bench) -> PathBuf {
    let entries = std::fs::read_dir(bench.path("r")).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths
        .find(|path| path.extension().is_some_and(|e| e == "sock"))
        .unwrap()
}

/// Everything a former engine said has been heard by the shim when this returns.
fn welcome(bench: &Bench) -> Welcome {
    let mut wire = Wire::new(UnixStream::connect(socket(bench)).unwrap());
    wire.say(&ToShim::Hello { version: VERSION });
    match wire.hear() {
        Some(FromShim::Welcome(welcome)) => *welcome,
        other => panic!("no welcome but {other:?}"),
    }
}

/// The machine shuts down while no engine runs.
async fn shut_down(bench: &Bench, pid: u32) {
    let shim = welcome(bench).shim_pid;
    signal(shim, Signal::TERM);
    while alive(pid) || alive(shim) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_stop_and_log_reach_the_running_shim() {
    let mut bench = Bench::new();
    let said = bench.path("said");
    let mut api = talker(&said);
    bench.start(vec![api.clone()]).await;
    bench
        .wait("its traps", |_| (lines(&said) == ["up"]).then_some(()))
        .await;
    let pid = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    api.stop.signal = "SIGUSR1".to_owned();
    api.logs.max_size = 4096;
    let changes = bench.handle().apply(vec![api.clone()]).await.unwrap();
    assert_eq!((changes.adjusted.len(), bench.pid("api")), (1, Some(pid)));
    bench.crash().await;
    assert_eq!(welcome(&bench).log.unwrap().max_size, 4096);
    shut_down(&bench, pid).await;
    assert_eq!(lines(&said), ["up", "usr1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_and_log_that_changed_without_an_engine_reach_the_running_shim() {
    let mut bench = Bench::new();
    let said = bench.path("said");
    let mut api = talker(&said);
    bench.start(vec![api.clone()]).await;
    bench
        .wait("its traps", |_| (lines(&said) == ["up"]).then_some(()))
        .await;
    let pid = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    bench.crash().await;
    api.stop.signal = "SIGUSR1".to_owned();
    api.logs.max_size = 4096;
    bench.start(vec![api]).await;
    assert_eq!(
        bench.ready_again("api", 0).await.instances[0].pid,
        Some(pid)
    );
    bench.crash().await;
    assert_eq!(welcome(&bench).log.unwrap().max_size, 4096);
    shut_down(&bench, pid).await;
    assert_eq!(lines(&said), ["up", "usr1"]);
}

/// Both directions of a connection, in the test's own threads.
struct Wire {
    stream: UnixStream,
    inbox: Inbox,
}

impl Wire {
    fn new(stream: UnixStream) -> Self {
        let inbox = Inbox::new();
        Self { stream, inbox }
    }

    fn say(&mut self, message: &impl Message) {
        let mut bytes = Vec::new();
        encode(message, &mut bytes).unwrap();
        // The other side may have gone.
        let _ = self.stream.write_all(&bytes);
    }

    fn hear<M: Message>(&mut self) -> Option<M> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(message) = self.inbox.next_message().unwrap() {
                return Some(message);
            }
            match self.stream.read(&mut bytes) {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.inbox.push(&bytes[..n]),
            }
        }
    }
}

/// Puts a shim of version 1 in the place of the one that runs: the same one, behind a wire that says it is of version
/// 1 and understands no more than that. What it did not understand comes out.
fn grow_old(bench: &Bench) -> Receiver<ToShim> {
    let young = socket(bench);
    let real = young.with_extension("young");
    std::fs::rename(&young, &real).unwrap();
    let listener = UnixListener::bind(&young).unwrap();
    let (skipped, receiver) = channel();
    std::thread::spawn(move || {
        for engine in listener.incoming() {
            let shim = UnixStream::connect(&real).unwrap();
            between(engine.unwrap(), shim, skipped.clone());
        }
    });
    receiver
}

fn between(engine: UnixStream, shim: UnixStream, skipped: Sender<ToShim>) {
    let (mut down_in, mut down_out) = (
        Wire::new(engine.try_clone().unwrap()),
        Wire::new(shim.try_clone().unwrap()),
    );
    let (mut up_in, mut up_out) = (Wire::new(shim), Wire::new(engine));
    std::thread::spawn(move || {
        while let Some(message) = down_in.hear::<ToShim>() {
            // As a version 1 wrote it.
            match message.kind() <= 11 {
                true => down_out.say(&message),
                false => drop(skipped.send(message)),
            }
        }
        let _ = down_out.stream.shutdown(std::net::Shutdown::Both);
    });
    std::thread::spawn(move || {
        while let Some(mut message) = up_in.hear::<FromShim>() {
            if let FromShim::Welcome(welcome) = &mut message {
                welcome.version = 1;
            }
            up_out.say(&message);
        }
        let _ = up_out.stream.shutdown(std::net::Shutdown::Both);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shim_older_than_its_engine_goes_on_working() {
    let mut bench = Bench::started(vec![sleeper("api")]).await;
    let pid = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    bench.crash().await;
    let real = socket(&bench).with_extension("young");
    let skipped = grow_old(&bench);
    let mut api = sleeper("api");
    bench.start(vec![api.clone()]).await;
    assert_eq!(
        bench.ready_again("api", 0).await.instances[0].pid,
        Some(pid)
    );
    assert!(matches!(skipped.recv().unwrap(), ToShim::SetStop(_)));
    api.stop.signal = "SIGINT".to_owned();
    bench.handle().apply(vec![api.clone()]).await.unwrap();
    let heard = skipped.recv().unwrap();
    assert!(matches!(heard, ToShim::SetStop(stop) if stop.signal == Signal::INT.as_raw()));
    assert_eq!(bench.pid("api"), Some(pid));
    // It is kept up and stopped as before.
    kill(pid);
    bench.ready_again("api", pid).await;
    let service = bench.handle().act("api", Action::Stop).await.unwrap();
    assert_eq!(service.state, InstanceState::Stopped);
    // Only the test moved it.
    std::fs::remove_file(real).unwrap();
    bench.end().await;
}
