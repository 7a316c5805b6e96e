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
use std::time::Duration;

use cockpit_model::spec::{Run, ServiceSpec};
use cockpit_model::{Action, EventBody, InstanceState, Service};
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

/// Two instances that answer, unless `BROKEN` is set.
fn pair() -> ServiceSpec {
    let mut api = common::server("api");
    let Run::Process(command) = &mut api.run else {
        unreachable!();
    };
    let script = r#"test -n "$BROKEN" && exit 1; exec "$0" "$@""#;
    command.splice(0..0, ["sh", "-c", script].map(str::to_owned));
    api.replicas = 2;
    api.restart.max_delay = Duration::from_millis(20);
    api
}

fn pids(service: &Service) -> Vec<u32> {
    service.instances.iter().filter_map(|i| i.pid).collect()
}

/// Both are ready, as other processes than these.
async fn both_ready(bench: &Bench, former: &[u32]) -> Service {
    bench
        .wait("both instances", |b| {
            let service = b.service("api");
            let now = pids(&service);
            let new = now.len() == 2 && !now.iter().any(|pid| former.contains(pid));
            (service.is_ready() && new).then_some(service)
        })
        .await
}

/// No instance was stopped while the other was not ready.
fn rolled(bench: &Bench) {
    let mut ready = [true, true];
    for event in bench.events() {
        if let EventBody::InstanceState { instance, to, .. } = event {
            let (own, other) = (usize::from(instance), usize::from(1 - instance));
            assert!(
                to != InstanceState::Stopping || ready[other],
                "{:#?}",
                bench.events()
            );
            ready[own] = to == InstanceState::Ready;
        }
    }
    assert_eq!(ready, [true, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_edit_rolls_over_the_instances() {
    let mut bench = Bench::started(vec![pair()]).await;
    let first = pids(&both_ready(&bench, &[]).await);
    bench.record.events.lock().unwrap().clear();
    let mut api = pair();
    api.listen = bench.service("api").listen;
    api.env.insert("X".into(), "1".into());
    let changes = bench.handle().apply(vec![api.clone()]).await.unwrap();
    assert_eq!(changes.restarted, ["api"]);
    let second = pids(&both_ready(&bench, &first).await);
    rolled(&bench);
    // And so does an edit that nobody saw.
    bench.crash().await;
    bench.record.events.lock().unwrap().clear();
    api.env.insert("X".into(), "2".into());
    bench.start(vec![api]).await;
    both_ready(&bench, &second).await;
    let events = bench.events();
    let at = |wanted: (u16, InstanceState)| {
        let is = |e: &EventBody| matches!(e, EventBody::InstanceState { instance, to, .. } if (*instance, *to) == wanted);
        events.iter().rposition(is).unwrap()
    };
    assert!(at((0, InstanceState::Ready)) < at((1, InstanceState::Stopping)));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_stops_at_an_instance_that_does_not_become_ready() {
    let bench = Bench::started(vec![pair()]).await;
    let first = pids(&both_ready(&bench, &[]).await);
    let mut api = pair();
    api.listen = bench.service("api").listen;
    let mut broken = api.clone();
    broken.env.insert("BROKEN".into(), "1".into());
    bench.handle().apply(vec![broken.clone()]).await.unwrap();
    let stalled = "; the roll stopped at instance 0, which did not become ready; not restarted: 1";
    let service = bench
        .wait("the roll's end", |b| {
            Some(b.service("api")).filter(|s| s.cause.ends_with(stalled))
        })
        .await;
    assert!(
        !service.is_ready() && service.cause.contains("exited with code 1"),
        "{}",
        service.cause
    );
    let other = &service.instances[1];
    assert_eq!(
        (other.state, other.pid),
        (InstanceState::Ready, Some(first[1]))
    );
    let told = |e: &EventBody| matches!(e, EventBody::Cockpit { message, .. } if message.starts_with("api: the roll stopped at instance 0"));
    assert!(bench.events().iter().any(told));
    // It is kept up as it was.
    kill(first[1]);
    let other = bench
        .wait("the other one", |b| {
            let other = b.service("api").instances[1].clone();
            (other.state == InstanceState::Ready && other.pid != Some(first[1])).then_some(other)
        })
        .await;
    // A restart by hand begins anew, with the new settings, and stops at the same place.
    let problem = bench
        .handle()
        .act("api", Action::Restart)
        .await
        .unwrap_err();
    assert!(problem.title.ends_with(stalled), "{}", problem.title);
    assert_eq!(bench.service("api").instances[1].pid, other.pid);
    // Mended: the one that never changed need not restart.
    let changes = bench.handle().apply(vec![api]).await.unwrap();
    assert_eq!(changes.restarted, ["api"]);
    let service = bench.state("api", InstanceState::Ready).await;
    assert_eq!(service.instances[1].pid, other.pid);
    assert!(!service.cause.contains("roll"), "{}", service.cause);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_goes_gives_its_port_back() {
    // Ports go by the name: nobody else's are near.
    let mut api = pair();
    api.name = "till".to_owned();
    let bench = Bench::started(vec![api.clone()]).await;
    let of = |count: usize| {
        move |b: &Bench| Some(b.service("till")).filter(|s| s.is_ready() && pids(s).len() == count)
    };
    let first = bench.wait("two instances", of(2)).await;
    let ports =
        |service: &Service| -> Vec<_> { service.instances.iter().map(|i| i.port).collect() };
    api.replicas = 3;
    bench.handle().apply(vec![api.clone()]).await.unwrap();
    let three = bench.wait("three instances", of(3)).await;
    assert_eq!(ports(&three)[..2], ports(&first));
    assert_eq!(pids(&three)[..2], pids(&first));
    bench.handle().apply(vec![]).await.unwrap();
    bench.handle().apply(vec![api]).await.unwrap();
    let again = bench.wait("three instances again", of(3)).await;
    // One over which connections are still winding down may stay with the system a while: it is free for nobody then.
    let lingers = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_err();
    for port in ports(&three).into_iter().flatten() {
        let is_used = ports(&again).contains(&Some(port));
        assert!(is_used || lingers(port), "{port} was not given back");
    }
    bench.end().await;
}
