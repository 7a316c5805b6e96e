//! Many deaths at once, and what others run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cockpit_model::logs::{LogLine, LogQuery, Stream};
use cockpit_model::service::Container;
use cockpit_model::spec::{ProbeCheck, Run};
use cockpit_model::{Action, Code, Detail, InstanceState, Owner, Problem, Timestamp};
use cockpit_supervisor::{Driver, Observation};
use common::{Bench, alive, kill, probe, sleeper, spec};
use futures_util::future::BoxFuture;

/// Everything that runs `sleep` for this test, by a number of seconds nobody else uses.
fn sleeping(seconds: &str) -> BTreeSet<u32> {
    let mut pids = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if command == format!("sleep\0{seconds}\0").as_bytes() {
            pids.insert(pid);
        }
    }
    pids
}

/// 20 services, many random kills: none is left down, there is no duplicate and no orphan.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_kills_leaves_one_process_each() {
    let seconds = format!("98{}", std::process::id());
    let names: Vec<String> = (0..20).map(|i| format!("s{i}")).collect();
    let specs = names.iter().map(|name| {
        let mut spec = spec(name, &["sleep", &seconds]);
        spec.restart.max_delay = Duration::from_millis(1);
        spec
    });
    let bench = Bench::started(specs.collect()).await;
    for name in &names {
        bench.state(name, InstanceState::Ready).await;
    }
    let (mut delays, mut respawns) = (Vec::new(), Vec::new());
    for round in 0..200_usize {
        let name = &names[(round * 7 + round / 20) % names.len()];
        let old = bench.wait("a process", |b| b.pid(name)).await;
        let killed = Instant::now();
        // It may have died of an earlier kill that nobody has seen yet.
        let pid = rustix::process::Pid::from_raw(i32::try_from(old).unwrap()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        if round % 4 == 0 {
            bench
                .wait("its successor", |b| b.pid(name).filter(|pid| *pid != old))
                .await;
            delays.push(killed.elapsed());
            let instance = bench.service(name).instances.remove(0);
            if let (Some(exit), Some(started)) = (instance.last_exit, instance.started_at) {
                respawns.push(started.duration_since(exit.at));
            }
        }
    }
    delays.sort();
    respawns.sort();
    eprintln!(
        "from the kill to its successor's pid being shown: median {:?}; from the reaping to the exec: {:?}",
        delays[delays.len() / 2],
        respawns[respawns.len() / 2]
    );
    let all = bench
        .wait("everything back, once each", |b| {
            let shown: BTreeSet<u32> = b.handle().processes().iter().map(|p| p.pid).collect();
            let real = sleeping(&seconds);
            (shown.len() == 20 && shown == real).then_some(real)
        })
        .await;
    assert_eq!(all.len(), 20);
    bench.end().await;
    assert!(sleeping(&seconds).is_empty());
}

/// Shims and services killed together, again and again.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shims_killed_with_their_services_leave_one_process() {
    let seconds = format!("97{}", std::process::id());
    let mut api = spec("api", &["sleep", &seconds]);
    api.restart.max_delay = Duration::from_millis(1);
    let bench = Bench::started(vec![api]).await;
    for round in 0..10 {
        let tracked = bench
            .wait("a process", |b| {
                b.handle()
                    .processes()
                    .pop()
                    .filter(|p| p.shim_pid.is_some() && alive(p.pid))
            })
            .await;
        if round % 2 == 0 {
            kill(tracked.pid);
        }
        kill(tracked.shim_pid.unwrap());
        bench
            .wait("another shim", |b| {
                b.handle()
                    .processes()
                    .pop()
                    .filter(|p| p.shim_pid.is_some() && p.shim_pid != tracked.shim_pid)
            })
            .await;
    }
    bench
        .wait("one process", |b| {
            let shown: BTreeSet<u32> = b.handle().processes().iter().map(|p| p.pid).collect();
            (shown.len() == 1 && shown == sleeping(&seconds)).then_some(())
        })
        .await;
    bench.end().await;
    assert!(sleeping(&seconds).is_empty());
}

/// A start and a stop that overtake each other end as the last one said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_wish_counts() {
    let bench = Bench::started(vec![sleeper("api")]).await;
    bench.state("api", InstanceState::Ready).await;
    let supervisor = bench.handle();
    for _ in 0..10 {
        let (stopped, started) = tokio::join!(
            supervisor.act("api", Action::Stop),
            supervisor.act("api", Action::Start)
        );
        assert!(stopped.is_ok() && started.is_ok());
        let (restarted, stopped) = tokio::join!(
            supervisor.act("api", Action::Restart),
            supervisor.act("api", Action::Stop)
        );
        assert!(stopped.is_ok());
        // On a busy machine it may be done before the stop is even asked for.
        if let Err(overtaken) = restarted {
            assert_eq!(overtaken.code, Code::ActionFailed);
        }
        assert_eq!(bench.service("api").state, InstanceState::Stopped);
        assert!(bench.pid("api").is_none());
    }
    bench.end().await;
}

/// What a driver brings up: containers that can die.
#[derive(Default)]
struct Containers {
    ups: AtomicU32,
    downs: AtomicU32,
    running: Mutex<bool>,
    docker: Mutex<Option<Problem>>,
}

impl Driver for Containers {
    fn up(&self) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async {
            if let Some(problem) = self.docker.lock().unwrap().clone() {
                return Err(problem);
            }
            self.ups.fetch_add(1, Ordering::SeqCst);
            *self.running.lock().unwrap() = true;
            Ok(())
        })
    }
    fn down(&self) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async {
            self.downs.fetch_add(1, Ordering::SeqCst);
            *self.running.lock().unwrap() = false;
            Ok(())
        })
    }
    fn inspect(&self) -> BoxFuture<'_, Observation> {
        Box::pin(async {
            let running = *self.running.lock().unwrap();
            let state = if running { "running" } else { "exited" };
            let container = Container {
                name: "db".into(),
                image: "postgres".into(),
                state: state.into(),
                health: None,
                status: String::new(),
                exit_code: None,
                started_at: None,
            };
            Observation {
                version: Some("2.0".into()),
                detail: Some(Detail {
                    containers: vec![container],
                    ..Detail::default()
                }),
                ready: Some(if running {
                    Ok(())
                } else {
                    Err("the containers are dead".into())
                }),
                owner: Some(Owner::Docker),
                owner_detail: Some("Docker".into()),
            }
        })
    }
    fn logs(&self, _query: LogQuery) -> BoxFuture<'_, Result<Vec<LogLine>, Problem>> {
        Box::pin(async {
            let line = LogLine {
                at: Timestamp::UNIX_EPOCH,
                instance: 0,
                stream: Stream::Stdout,
                text: "from docker".into(),
            };
            Ok(vec![line])
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_driver_runs_is_brought_up_healed_and_brought_down() {
    let containers = Arc::new(Containers::default());
    let mut supabase = sleeper("supabase");
    supabase.run = Run::Driver;
    supabase.restart.max_delay = Duration::from_millis(50);
    let down =
        Problem::new(Code::DockerNotRunning, "Docker is not running").remedy("open -a Docker");
    *containers.docker.lock().unwrap() = Some(down);
    let mut bench = Bench::new();
    bench.driver = Some(containers.clone());
    bench.start(vec![supabase.clone()]).await;
    let service = bench.state("supabase", InstanceState::BackingOff).await;
    assert!(
        service.cause.contains("Docker is not running"),
        "{}",
        service.cause
    );
    let problem = bench
        .handle()
        .act("supabase", Action::Start)
        .await
        .unwrap_err();
    assert_eq!(problem.code, Code::DockerNotRunning);
    *containers.docker.lock().unwrap() = None;
    let service = bench.state("supabase", InstanceState::Ready).await;
    assert_eq!(
        (service.owner, service.version.as_deref()),
        (Owner::Docker, Some("2.0"))
    );
    assert_eq!(bench.log("supabase").await, ["from docker"]);
    // A new engine finds it up and leaves it alone.
    bench.crash().await;
    bench.start(vec![supabase]).await;
    bench.state("supabase", InstanceState::Ready).await;
    assert_eq!(
        (
            containers.ups.load(Ordering::SeqCst),
            containers.downs.load(Ordering::SeqCst)
        ),
        (1, 0)
    );
    // All of its containers die: it is brought up again.
    *containers.running.lock().unwrap() = false;
    bench.handle().inspect_now("supabase").await.unwrap();
    bench
        .wait("up again", |b| {
            (containers.ups.load(Ordering::SeqCst) == 2 && b.service("supabase").is_ready())
                .then_some(())
        })
        .await;
    let service = bench
        .handle()
        .act("supabase", Action::Restart)
        .await
        .unwrap();
    assert!(service.is_ready());
    assert_eq!(containers.downs.load(Ordering::SeqCst), 1);
    bench.handle().act("supabase", Action::Stop).await.unwrap();
    assert!(!*containers.running.lock().unwrap());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_only_watched_is_never_told_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut site = sleeper("site");
    site.run = Run::Watch;
    site.ready = Some(probe(ProbeCheck::Tcp(
        listener.local_addr().unwrap().to_string(),
    )));
    let mut api = sleeper("api");
    api.depends_on = vec!["site".into()];
    let mut bench = Bench::new();
    *bench.machine.holder.lock().unwrap() = Some(cockpit_model::PortHolder {
        pid: Some(5),
        name: "caddy".into(),
        owner: Owner::Launchd,
        described: "com.caddy".into(),
    });
    bench.start(vec![site, api]).await;
    let api = bench.state("api", InstanceState::Ready).await.instances[0].pid;
    let site = bench
        .wait("its owner", |b| {
            Some(b.service("site")).filter(|s| s.owner == Owner::Launchd)
        })
        .await;
    assert_eq!(
        (site.owner_detail.as_deref(), site.actions.len()),
        (Some("com.caddy (pid 5)"), 0)
    );
    for action in [Action::Start, Action::Stop, Action::Restart] {
        let problem = bench.handle().act("site", action).await.unwrap_err();
        assert_eq!(problem.code, Code::NotSupported);
    }
    drop(listener);
    let site = bench.state("site", InstanceState::Degraded).await;
    assert!(
        site.cause
            .starts_with("readiness: connection refused at 127.0.0.1:"),
        "{}",
        site.cause
    );
    // A dependency that fails later stops nobody.
    assert_eq!(bench.service("api").state, InstanceState::Ready);
    assert_eq!(bench.pid("api"), api);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_env_file_is_named() {
    let mut bench = Bench::new();
    let path = bench.path("env");
    let mut api = common::shell("api", "echo \"$GREETING $OWN $PORT\"; exec sleep 1000");
    api.env_file = Some(path.clone());
    api.env.insert("OWN".into(), "port={port}".into());
    api.listen = Some(format!("127.0.0.1:{}", common::free_port()));
    let port = api.listen_port().unwrap();
    api.restart.max_delay = Duration::from_millis(50);
    bench.start(vec![api]).await;
    let service = bench.state("api", InstanceState::BackingOff).await;
    assert!(service.cause.contains("env_file"), "{}", service.cause);
    std::fs::write(&path, "GREETING=hello\nOWN=file\n").unwrap();
    bench.state("api", InstanceState::Ready).await;
    let line = loop {
        if let Some(line) = bench
            .log("api")
            .await
            .into_iter()
            .find(|l| l.starts_with("hello"))
        {
            break line;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(line, format!("hello port={port} {port}"));
    bench.end().await;
}
