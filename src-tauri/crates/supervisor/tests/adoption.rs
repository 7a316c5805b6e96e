//! What outlives the engine, what outlives the shim, and what a changed configuration does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::time::Duration;

use cockpit_model::{Action, EventBody, InstanceState};
use common::{Bench, alive, kill, lines, server, shell, signal, sleeper};
use futures_util::StreamExt;
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
