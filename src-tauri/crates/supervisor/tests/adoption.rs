//! What outlives the engine, what outlives the shim, and what a changed configuration does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cockpit_model::spec::Run;
use cockpit_model::{Action, EventBody, InstanceState, Problem};
use cockpit_supervisor::{Driver, Observation};
use common::{Bench, alive, kill, lines, server, shell, signal, sleeper};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use rustix::process::Signal;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_engine_finds_everything_again() {
    let api = server("api");
    let mut bench = Bench::started(vec![api.clone()]).await;
    let pid = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    let started = bench.service("api").instances[0].started_at;
    for _ in 0..3 {
        bench.crash().await;
        bench.record.events.lock().unwrap().clear();
        bench.start(vec![api.clone()]).await;
        assert_eq!(bench.handle().adopted(), 1);
        let service = bench.state("api", InstanceState::Ready).await;
        assert_eq!(service.instances[0].pid, Some(pid));
        assert_eq!(service.instances[0].started_at, started);
        assert_eq!(service.instances[0].restarts, 0);
    }
    let adopted = |e: &EventBody| matches!(e, EventBody::InstanceStarted { adopted: true, .. });
    assert!(bench.events().iter().any(adopted));
    assert_eq!(
        bench
            .log("api")
            .await
            .iter()
            .filter(|l| l.starts_with("listening"))
            .count(),
        1
    );
    // And it is looked after as before.
    kill(pid);
    bench.ready_again("api", pid).await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_without_an_engine_is_known_to_the_next() {
    let mut bench = Bench::new();
    let go = bench.path("go");
    let api = shell(
        "api",
        &format!(
            "test -f {0} && exec sleep 1000; touch {0}; read line < {0}.fifo; echo farewell; exit 7",
            go.display()
        ),
    );
    let fifo = bench.path("go.fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    bench.start(vec![api.clone()]).await;
    let pid = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    bench
        .wait("its first life", |_| go.exists().then_some(()))
        .await;
    bench.crash().await;
    std::fs::write(&fifo, "\n").unwrap();
    while alive(pid) {
        tokio::task::yield_now().await;
    }
    bench.start(vec![api]).await;
    let service = bench.ready_again("api", pid).await;
    let exit = service.instances[0].last_exit.clone().unwrap();
    assert_eq!(
        (exit.code, exit.last_lines),
        (Some(7), vec!["farewell".to_owned()])
    );
    assert_eq!(service.instances[0].restarts, 1);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_shim_leaves_no_orphan_and_no_duplicate() {
    let mut bench = Bench::new();
    let pids = bench.path("pids");
    let script = format!(
        "echo $$ >> {0}; (exec sleep 1000) & echo $! >> {0}; exec sleep 1000",
        pids.display()
    );
    bench.start(vec![shell("api", &script)]).await;
    let old = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    bench
        .wait("its child", |_| (lines(&pids).len() == 2).then_some(()))
        .await;
    kill(bench.shim_pid("api"));
    let service = bench.ready_again("api", old).await;
    assert!(
        !lines(&pids)
            .iter()
            .take(2)
            .any(|pid| alive(pid.parse().unwrap()))
    );
    assert_eq!(service.instances[0].restarts, 1);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shim_killed_while_no_engine_ran_is_cleaned_up_after() {
    let mut bench = Bench::started(vec![sleeper("api")]).await;
    let old = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    let shim = bench.shim_pid("api");
    bench.crash().await;
    kill(shim);
    bench.start(vec![sleeper("api")]).await;
    assert_eq!(bench.handle().adopted(), 0);
    bench.ready_again("api", old).await;
    assert!(!alive(old));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_shim_is_woken() {
    let mut bench = Bench::started(vec![sleeper("api")]).await;
    let pid = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    let shim = bench.shim_pid("api");
    bench.crash().await;
    signal(shim, Signal::STOP);
    bench.start(vec![sleeper("api")]).await;
    assert_eq!(
        bench.state("api", InstanceState::Ready).await.instances[0].pid,
        Some(pid)
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_changed_restarts() {
    let mut api = sleeper("api");
    api.depends_on = vec!["db".into()];
    let specs = vec![
        sleeper("db"),
        api.clone(),
        sleeper("old"),
        sleeper("limits"),
    ];
    let bench = Bench::started(specs.clone()).await;
    for name in ["db", "api", "old", "limits"] {
        bench.state(name, InstanceState::Ready).await;
    }
    let pid = |name: &str| bench.pid(name).unwrap();
    let (db, api_pid, old, limits) = (pid("db"), pid("api"), pid("old"), pid("limits"));
    let mut changed = specs;
    changed[0].env.insert("X".into(), "1".into());
    changed[2] = sleeper("new");
    changed[3].limits.memory = Some(1 << 40);
    let changes = bench.handle().apply(changed.clone()).await.unwrap();
    assert_eq!(
        (changes.restarted, changes.removed, changes.started),
        (vec!["db".into()], vec!["old".into()], vec!["new".into()])
    );
    assert_eq!(
        (changes.adjusted, changes.unchanged),
        (vec!["limits".to_owned()], vec!["api".to_owned()])
    );
    assert!(!alive(old) && bench.handle().service("old").is_none());
    bench.ready_again("db", db).await;
    bench.state("new", InstanceState::Ready).await;
    assert_eq!(
        (bench.pid("api"), bench.pid("limits")),
        (Some(api_pid), Some(limits))
    );
    changed[1].depends_on = vec!["nobody".into()];
    assert!(bench.handle().apply(changed).await.is_err());
    assert_eq!(bench.pid("api"), Some(api_pid));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_or_left_while_no_engine_ran_is_found_out() {
    let mut bench = Bench::started(vec![sleeper("api"), sleeper("gone")]).await;
    let old = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    let gone = bench.state("gone", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    bench.crash().await;
    let mut api = sleeper("api");
    api.env.insert("X".into(), "1".into());
    bench.start(vec![api]).await;
    let service = bench.ready_again("api", old).await;
    assert_eq!(service.instances[0].restarts, 0);
    bench
        .wait("the stray's end", |_| (!alive(gone)).then_some(()))
        .await;
    bench
        .wait("its seat's end", |b| {
            let socks = std::fs::read_dir(b.path("r"))
                .unwrap()
                .flatten()
                .filter(|e| e.path().extension().is_some_and(|e| e == "sock"));
            (socks.count() == 1).then_some(())
        })
        .await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_goes_leaves_everything_running() {
    let mut bench = Bench::started(vec![sleeper("api")]).await;
    let pid = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    bench.handle().shutdown(false).await;
    assert!(alive(pid));
    bench.crash().await;
    bench.start(vec![sleeper("api")]).await;
    assert_eq!(bench.handle().adopted(), 1);
    bench.handle().shutdown(true).await;
    assert!(!alive(pid));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_followed_over_a_restart() {
    let bench = Bench::started(vec![shell("api", "echo life $$; exec sleep 1000")]).await;
    let old = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    let query = cockpit_model::logs::LogQuery {
        tail: 10,
        grep: Some("LIFE".into()),
        instance: None,
    };
    let mut lines = bench.handle().follow("api", query).await.unwrap();
    assert_eq!(lines.next().await.unwrap().text, format!("life {old}"));
    bench.handle().act("api", Action::Restart).await.unwrap();
    let next = tokio::time::timeout(Duration::from_secs(30), lines.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(next.text, format!("life {}", bench.pid("api").unwrap()));
    bench.end().await;
}

/// Writes down how it was brought up and down, and whether the process of the former way was still there.
struct Notes {
    file: PathBuf,
    former: PathBuf,
}

impl Notes {
    fn write(&self, what: &str) -> Result<(), Problem> {
        let former = lines(&self.former);
        let left = former.iter().any(|pid| alive(pid.parse().unwrap()));
        let mut all = lines(&self.file);
        all.push(format!("{what}, former alive: {left}"));
        std::fs::write(&self.file, all.join("\n")).unwrap();
        Ok(())
    }
}

impl Driver for Notes {
    fn up(&self) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async { self.write("up") })
    }
    fn down(&self) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async { self.write("down") })
    }
    fn inspect(&self) -> BoxFuture<'_, Observation> {
        Box::pin(async {
            Observation {
                ready: Some(Ok(())),
                ..Observation::default()
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_way_to_run_ends_what_the_former_way_ran() {
    let mut bench = Bench::new();
    let (notes, pids) = (bench.path("notes"), bench.path("pids"));
    bench.driver = Some(Arc::new(Notes {
        file: notes.clone(),
        former: pids.clone(),
    }));
    let own = shell(
        "api",
        &format!("echo $$ >> {}; exec sleep 1000", pids.display()),
    );
    let with = |run: Run| {
        let mut spec = own.clone();
        spec.run = run;
        vec![spec]
    };
    bench.start(with(own.run.clone())).await;
    bench
        .wait("its process", |_| (lines(&pids).len() == 1).then_some(()))
        .await;
    let first = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();

    bench.handle().apply(with(Run::Watch)).await.unwrap();
    bench
        .wait("the process' end", |_| (!alive(first)).then_some(()))
        .await;
    bench
        .wait("nothing of its own", |b| {
            let free = std::fs::read_dir(b.path("r")).unwrap().count() == 1;
            (free && b.service("api").instances[0].pid.is_none()).then_some(())
        })
        .await;

    bench.handle().apply(with(own.run.clone())).await.unwrap();
    bench.ready_again("api", first).await;
    bench
        .wait("its second process", |_| {
            (lines(&pids).len() == 2).then_some(())
        })
        .await;

    bench.handle().apply(with(Run::Driver)).await.unwrap();
    bench
        .wait("the driver's turn", |_| {
            (!lines(&notes).is_empty()).then_some(())
        })
        .await;
    bench.state("api", InstanceState::Ready).await;
    assert_eq!(lines(&notes), ["up, former alive: false"]);

    bench.handle().apply(with(own.run.clone())).await.unwrap();
    let service = bench.ready_again("api", 0).await;
    assert!(service.instances[0].pid.is_some());
    assert_eq!(
        lines(&notes),
        ["up, former alive: false", "down, former alive: false"]
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_was_rotated_away_still_counts_after_an_engine() {
    let mut bench = Bench::new();
    let mut api = shell("api", "echo I am listening; exec sleep 1000");
    api.ready = Some(common::probe(cockpit_model::spec::ProbeCheck::Log(
        "listening".to_owned(),
    )));
    bench.start(vec![api.clone()]).await;
    let pid = bench.state("api", InstanceState::Ready).await.instances[0].pid;
    bench.crash().await;
    std::fs::write(bench.path("l").join("api").join("0.log"), "").unwrap();
    bench.start(vec![api]).await;
    let service = bench.state("api", InstanceState::Ready).await;
    assert_eq!(service.instances[0].pid, pid);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_by_hand_is_forgotten_with_its_service() {
    let bench = Bench::started(vec![sleeper("api")]).await;
    bench.state("api", InstanceState::Ready).await;
    bench.handle().act("api", Action::Stop).await.unwrap();
    bench.handle().apply(vec![]).await.unwrap();
    bench.handle().apply(vec![sleeper("api")]).await.unwrap();
    bench.state("api", InstanceState::Ready).await;
    let remembered = bench.record.remembered.lock().unwrap().clone();
    assert_eq!(remembered.last(), Some(&("api".to_owned(), false)));
    bench.end().await;
}

/// A refused connection may mean a full queue, or a socket that somebody replaced: the process decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_shim_that_cannot_be_reached_at_first_is_waited_for() {
    let mut bench = Bench::started(vec![sleeper("api")]).await;
    let pid = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    bench.crash().await;
    let socket = std::fs::read_dir(bench.path("r"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "sock"))
        .unwrap();
    let away = socket.with_extension("away");
    std::fs::rename(&socket, &away).unwrap();
    // Nobody accepts there: refused.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    // The start does not wait for it.
    bench.start(vec![sleeper("api")]).await;
    assert_eq!(bench.handle().adopted(), 0);
    assert!(alive(pid));
    std::fs::rename(&away, &socket).unwrap();
    let service = bench.state("api", InstanceState::Ready).await;
    assert_eq!(service.instances[0].pid, Some(pid));
    bench.end().await;
}

/// Brings nothing down, ever.
struct Endless;

impl Driver for Endless {
    fn up(&self) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async { Ok(()) })
    }
    fn down(&self) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(std::future::pending())
    }
    fn inspect(&self) -> BoxFuture<'_, Observation> {
        Box::pin(async {
            Observation {
                ready: Some(Ok(())),
                ..Observation::default()
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_is_told_of_and_left() {
    let mut bench = Bench::new();
    bench.driver = Some(Arc::new(Endless));
    let named = |name: &str| {
        let mut spec = sleeper(name);
        spec.run = Run::Driver;
        spec
    };
    bench.start(vec![named("gone"), named("kept")]).await;
    bench.state("gone", InstanceState::Ready).await;
    bench.state("kept", InstanceState::Ready).await;
    let told = |bench: &Bench, name: &str| {
        let events = bench.events();
        events.iter().any(|e| matches!(e, EventBody::Cockpit { level, message } if level == "error" && message.starts_with(&format!("{name} did not end"))))
    };
    let changes = bench.handle().apply(vec![named("kept")]).await.unwrap();
    assert_eq!(changes.removed, ["gone"]);
    assert!(told(&bench, "gone") && !told(&bench, "kept"));
    bench.handle().shutdown(true).await;
    assert!(told(&bench, "kept"));
    bench.end().await;
}
