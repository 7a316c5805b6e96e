//! Supervision of real processes under real shims.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::time::Duration;

use cockpit_model::logs::Stream;
use cockpit_model::spec::{Kind, LimitAction, ProbeCheck, RestartPolicy};
use cockpit_model::{Action, Code, EventBody, InstanceState, Owner, PortHolder};
use cockpit_supervisor::InstanceUse;
use common::{Bench, alive, kill, lines, probe, server, shell, signal, sleeper, spec};
use rustix::process::Signal;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_start_in_the_order_of_their_dependencies() {
    let mut bench = Bench::new();
    let order = bench.path("order");
    let line = |name: &str| {
        format!(
            "echo {name} >> {}; touch {}-up; exec sleep 1000",
            order.display(),
            bench.path(name).display()
        )
    };
    let mut specs = vec![
        shell("web", &line("web")),
        shell("api", &line("api")),
        shell("db", &line("db")),
    ];
    specs[0].depends_on = vec!["api".into()];
    specs[1].depends_on = vec!["db".into()];
    for spec in &mut specs {
        let up = format!("{}-up", bench.path(&spec.name).display());
        spec.ready = Some(probe(ProbeCheck::Exec(vec![
            "test".into(),
            "-f".into(),
            up,
        ])));
    }
    bench.start(specs).await;
    bench.state("web", InstanceState::Ready).await;
    assert_eq!(lines(&order), ["db", "api", "web"]);
    let waited = bench.events().into_iter().any(|e| {
        matches!(e, EventBody::InstanceState { service, to: InstanceState::Waiting, cause, .. } if service == "web" && cause.contains("waiting for api"))
    });
    assert!(waited);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_comes_back_and_says_why() {
    let bench = Bench::started(vec![server("api")]).await;
    let old = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    kill(old);
    let service = bench.ready_again("api", old).await;
    let instance = &service.instances[0];
    assert_eq!(instance.restarts, 1);
    let exit = instance.last_exit.as_ref().unwrap();
    assert_eq!((exit.code, exit.signal.as_deref()), (None, Some("SIGKILL")));
    assert_eq!(
        exit.last_lines.last().unwrap(),
        &format!("listening on {}", instance.port.unwrap())
    );
    let exits = |e: &EventBody| matches!(e, EventBody::InstanceExit { pid, expected: false, .. } if *pid == old);
    assert!(bench.events().iter().any(exits));
    assert!(service.probe.unwrap().latency_ms.unwrap() > 0.0);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_service_is_healed_by_liveness() {
    let mut api = server("api");
    api.live = api.ready.clone();
    api.stop.grace = Duration::from_millis(300);
    let bench = Bench::started(vec![api]).await;
    let old = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    signal(old, Signal::STOP);
    let failing = bench.state("api", InstanceState::Failing).await;
    assert!(
        failing
            .cause
            .starts_with("liveness: timed out after 500 ms (3 times)"),
        "{}",
        failing.cause
    );
    let service = bench.ready_again("api", old).await;
    assert_eq!(service.instances[0].restarts, 1);
    assert!(!alive(old));
    bench.end().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_the_whole_tree_however_it_resists() {
    let mut bench = Bench::new();
    let pids = bench.path("pids");
    let script = format!(
        "trap '' TERM; echo $$ >> {0}; (trap '' TERM; echo $(exec sh -c 'echo $PPID') >> {0}; while :; do sleep 1; done) & \
         setsid sh -c 'trap \"\" TERM; echo $$ >> {0}; while :; do sleep 1; done' & while :; do sleep 1; done",
        pids.display()
    );
    let mut stubborn = shell("stubborn", &script);
    stubborn.stop.grace = Duration::from_millis(200);
    bench.start(vec![stubborn]).await;
    bench
        .wait("three processes", |_| {
            (lines(&pids).len() == 3).then_some(())
        })
        .await;
    let service = bench.handle().act("stubborn", Action::Stop).await.unwrap();
    assert_eq!(
        (service.state, service.cause.as_str()),
        (InstanceState::Stopped, "stopped by hand")
    );
    for pid in lines(&pids) {
        assert!(!alive(pid.parse().unwrap()), "{pid} lives");
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loop_is_told_and_heals_when_the_cause_is_gone() {
    let mut bench = Bench::new();
    let mended = bench.path("mended");
    let mut api = shell(
        "api",
        &format!(
            "test -f {} && exec sleep 1000; echo no luck; exit 3",
            mended.display()
        ),
    );
    api.restart.max_delay = Duration::from_millis(50);
    api.restart.reset_after = Duration::from_millis(200);
    bench.start(vec![api]).await;
    let service = bench.state("api", InstanceState::CrashLooping).await;
    assert!(
        service.cause.contains("exited with code 3"),
        "{}",
        service.cause
    );
    assert!(service.instances[0].next_attempt_at.is_some());
    bench
        .wait("a notice", |b| {
            b.events()
                .into_iter()
                .find(|e| matches!(e, EventBody::ServiceDown { .. }))
        })
        .await;
    std::fs::write(&mended, "").unwrap();
    bench
        .wait("the all-clear", |b| {
            b.events()
                .into_iter()
                .find(|e| matches!(e, EventBody::ServiceRecovered { .. }))
        })
        .await;
    assert_eq!(bench.service("api").state, InstanceState::Ready);
    let told = bench
        .events()
        .iter()
        .filter(|e| matches!(e, EventBody::ServiceDown { .. }))
        .count();
    assert_eq!(told, 1);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_crashes_tells_its_caller() {
    let mut api = shell("api", "echo port in use >&2; exit 1");
    api.restart.max_delay = Duration::from_millis(20);
    api.ready = Some(probe(ProbeCheck::Exec(vec!["false".into()])));
    api.autostart = false;
    let bench = Bench::started(vec![api]).await;
    bench.state("api", InstanceState::Stopped).await;
    let problem = bench.handle().act("api", Action::Start).await.unwrap_err();
    assert_eq!(problem.code, Code::ActionFailed);
    assert_eq!(problem.detail.as_deref(), Some("port in use"));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manual_stop_is_remembered_over_the_engine() {
    let mut bench = Bench::started(vec![sleeper("api")]).await;
    bench.state("api", InstanceState::Ready).await;
    let service = bench.handle().act("api", Action::Stop).await.unwrap();
    assert!(service.manual_stop && service.actions == [Action::Start]);
    assert_eq!(
        *bench.record.remembered.lock().unwrap(),
        [("api".to_owned(), true)]
    );
    bench.crash().await;
    bench.manual_stops.insert("api".to_owned());
    bench.start(vec![sleeper("api")]).await;
    let service = bench.state("api", InstanceState::Stopped).await;
    assert_eq!(service.cause, "stopped by hand");
    let service = bench.handle().act("api", Action::Start).await.unwrap();
    assert!(service.is_ready() && !service.manual_stop);
    assert_eq!(
        bench.record.remembered.lock().unwrap().last().unwrap(),
        &("api".to_owned(), false)
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_remembered_is_told() {
    let bench = Bench::started(vec![sleeper("api")]).await;
    bench.state("api", InstanceState::Ready).await;
    let told = |part: &str| {
        let events = bench.events();
        let warnings = events.iter().filter(|e| matches!(e, EventBody::Cockpit { level, message } if level == "warning" && message.contains(part)));
        warnings.count()
    };
    *bench.record.amnesia.lock().unwrap() = Some("the disk is full".to_owned());
    let forgotten =
        "but this could not be remembered (the disk is full): it will start again with the cockpit";
    for attempt in 1..=2 {
        let service = bench.handle().act("api", Action::Stop).await.unwrap();
        assert_eq!(service.state, InstanceState::Stopped);
        assert_eq!(service.cause, format!("stopped by hand, {forgotten}"));
        assert_eq!(
            told(&format!("api was stopped by hand, {forgotten}")),
            attempt
        );
    }
    *bench.record.amnesia.lock().unwrap() = None;
    let service = bench.handle().act("api", Action::Stop).await.unwrap();
    assert_eq!(service.cause, "stopped by hand");
    *bench.record.amnesia.lock().unwrap() = Some("the disk is full".to_owned());
    let service = bench.handle().act("api", Action::Start).await.unwrap();
    assert!(service.is_ready() && !service.manual_stop);
    let stays = "it will stay stopped when the cockpit starts";
    assert!(service.cause.ends_with(stays), "{}", service.cause);
    assert_eq!(told(stays), 1);
    *bench.record.amnesia.lock().unwrap() = None;
    bench.handle().act("api", Action::Stop).await.unwrap();
    assert_eq!(
        *bench.record.remembered.lock().unwrap(),
        [("api".to_owned(), true), ("api".to_owned(), true)]
    );
    bench.end().await;
}

/// Why the output breaks off stands in the log itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_says_why_it_breaks_off() {
    let bench = Bench::started(vec![shell("api", "echo life $$; exec sleep 1000")]).await;
    let first = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    let life = |pid: u32| (Stream::Stdout, format!("life {pid}"));
    let remark = |text: &str| (Stream::Cockpit, text.to_owned());
    bench.logged("api", &[life(first)]).await;
    kill(first);
    let second = bench.ready_again("api", first).await.instances[0]
        .pid
        .unwrap();
    bench.logged("api", &[life(second)]).await;
    bench.handle().act("api", Action::Stop).await.unwrap();
    let log = bench.logged("api", &[remark("stopped by hand")]).await;
    let again = log
        .iter()
        .find_map(|(_, text)| {
            text.strip_prefix("starting again (attempt 1): killed by SIGKILL after ")
        })
        .unwrap();
    assert_eq!(
        log,
        [
            remark("started with the cockpit"),
            life(first),
            remark("ended by SIGKILL"),
            remark(&format!(
                "starting again (attempt 1): killed by SIGKILL after {again}"
            )),
            life(second),
            remark("ended by SIGTERM, as asked"),
            remark("stopped by hand"),
        ]
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_by_hand_goes_through_its_phases() {
    let bench = Bench::started(vec![server("api")]).await;
    let old = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    bench.record.events.lock().unwrap().clear();
    let service = bench.handle().act("api", Action::Restart).await.unwrap();
    assert!(service.is_ready() && service.instances[0].pid != Some(old));
    assert_eq!(service.instances[0].restarts, 0);
    let phases: Vec<_> = bench
        .events()
        .into_iter()
        .filter_map(|e| match e {
            EventBody::InstanceState { to, .. } => Some(to),
            _ => None,
        })
        .collect();
    assert_eq!(
        phases,
        [
            InstanceState::Stopping,
            InstanceState::Starting,
            InstanceState::Ready
        ]
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_command_is_named() {
    let bench = Bench::started(vec![spec("api", &["no-such-program-here"])]).await;
    let service = bench.state("api", InstanceState::Missing).await;
    assert_eq!(
        service.cause,
        "`no-such-program-here` is not on this machine"
    );
    let problem = bench.handle().act("api", Action::Start).await.unwrap_err();
    assert_eq!(problem.code, Code::CommandMissing);
    assert!(problem.remedy.is_some());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_conflict_names_its_holder_and_ends_with_it() {
    let api = server("api");
    let listener = std::net::TcpListener::bind(api.listen.as_deref().unwrap()).unwrap();
    let mut bench = Bench::new();
    *bench.machine.holder.lock().unwrap() = Some(PortHolder {
        pid: Some(123),
        name: "nginx".into(),
        owner: Owner::Other,
        described: "nginx".into(),
    });
    let port = listener.local_addr().unwrap().port();
    bench.start(vec![api]).await;
    let service = bench.state("api", InstanceState::BackingOff).await;
    assert_eq!(
        service.cause,
        format!("port {port} is held by nginx (pid 123)")
    );
    assert_eq!(service.instances[0].pid, None);
    let problem = bench.handle().act("api", Action::Start).await.unwrap_err();
    assert_eq!(problem.code, Code::PortConflict);
    drop(listener);
    bench.state("api", InstanceState::Ready).await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_program_of_somebody_else_stands_in() {
    let api = server("api");
    let (program, port) = (
        env!("CARGO_BIN_EXE_supervisor-test-service"),
        api.listen_port().unwrap(),
    );
    let mut foreign = std::process::Command::new(program)
        .args(["serve", &port.to_string()])
        .spawn()
        .unwrap();
    let mut bench = Bench::new();
    *bench.machine.holder.lock().unwrap() = Some(PortHolder {
        pid: Some(foreign.id()),
        name: "supervisor-test-service".into(),
        owner: Owner::Homebrew,
        described: "homebrew.mxcl.api".into(),
    });
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        tokio::task::yield_now().await;
    }
    bench.start(vec![api]).await;
    let service = bench.state("api", InstanceState::Ready).await;
    assert_eq!(service.owner, Owner::Homebrew);
    assert_eq!(service.actions, [Action::TakeOver]);
    assert!(bench.handle().processes().is_empty());
    let problem = bench.handle().act("api", Action::Stop).await.unwrap_err();
    assert_eq!(problem.code, Code::NotOurs);
    foreign.kill().unwrap();
    foreign.wait().unwrap();
    let service = bench
        .wait("our own", |b| {
            Some(b.service("api")).filter(|s| s.owner == Owner::Cockpit && s.is_ready())
        })
        .await;
    assert!(service.instances[0].pid.is_some());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_done_once_and_gates_who_waits_for_it() {
    let mut bench = Bench::new();
    let runs = bench.path("runs");
    let mut task = shell("migrate", &format!("echo run >> {}", runs.display()));
    task.kind = Kind::Task;
    task.restart.policy = RestartPolicy::OnFailure;
    let mut api = sleeper("api");
    api.depends_on = vec!["migrate".into()];
    bench.start(vec![task.clone(), api.clone()]).await;
    bench.state("api", InstanceState::Ready).await;
    assert_eq!(bench.service("migrate").state, InstanceState::Done);
    bench.crash().await;
    bench.start(vec![task, api]).await;
    bench.state("migrate", InstanceState::Done).await;
    bench.state("api", InstanceState::Ready).await;
    assert_eq!(lines(&runs), ["run"]);
    bench.handle().act("migrate", Action::Start).await.unwrap();
    assert_eq!(lines(&runs), ["run", "run"]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_memory_restarts() {
    let mut api = sleeper("api");
    api.limits.memory = Some(1 << 20);
    api.limits.action = LimitAction::Restart;
    let bench = Bench::started(vec![api]).await;
    let old = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    for _ in 0..3 {
        let memory_bytes = 5 << 20;
        bench.handle().usage(vec![InstanceUse {
            service: "api".into(),
            instance: 0,
            cpu_percent: 1.0,
            memory_bytes,
        }]);
    }
    let service = bench.ready_again("api", old).await;
    assert_eq!(service.instances[0].restarts, 1);
    let limit =
        |e: &EventBody| matches!(e, EventBody::MemoryLimit { action, .. } if action == "restart");
    assert!(bench.events().iter().any(limit));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_probes_after_a_sleep_change_nothing() {
    let mut api = server("api");
    api.live = api.ready.clone();
    let bench = Bench::started(vec![api]).await;
    let old = bench.state("api", InstanceState::Ready).await.instances[0]
        .pid
        .unwrap();
    bench.handle().woke(Duration::from_secs(3600));
    signal(old, Signal::STOP);
    let failed = |b: &Bench| {
        b.service("api")
            .heartbeat
            .iter()
            .filter(|tick| !tick.ok)
            .count()
    };
    bench
        .wait("five failed probes", |b| (failed(b) >= 5).then_some(()))
        .await;
    assert_eq!(bench.service("api").state, InstanceState::Ready);
    signal(old, Signal::CONT);
    assert_eq!(bench.pid("api"), Some(old));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_have_ports_of_their_own_and_a_restart_rolls() {
    let mut api = server("api");
    api.replicas = 2;
    let bench = Bench::started(vec![api]).await;
    let service = bench.state("api", InstanceState::Ready).await;
    let ports: Vec<_> = service.instances.iter().map(|i| i.port.unwrap()).collect();
    assert_ne!(ports[0], ports[1]);
    bench.record.events.lock().unwrap().clear();
    let after = bench.handle().act("api", Action::Restart).await.unwrap();
    let same: Vec<_> = after.instances.iter().map(|i| i.port.unwrap()).collect();
    assert_eq!(ports, same);
    let moves: Vec<_> = bench
        .events()
        .into_iter()
        .filter_map(|e| match e {
            EventBody::InstanceState { instance, to, .. } => Some((instance, to)),
            _ => None,
        })
        .collect();
    let first_ready = moves
        .iter()
        .position(|m| *m == (0, InstanceState::Ready))
        .unwrap();
    let second_stops = moves
        .iter()
        .position(|m| *m == (1, InstanceState::Stopping))
        .unwrap();
    assert!(first_ready < second_stops, "{moves:?}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_by_a_line_of_the_log() {
    let mut bench = Bench::new();
    let go = bench.path("go");
    let mut api = shell(
        "api",
        &format!(
            "until test -f {}; do sleep 0.05; done; echo now listening; exec sleep 1000",
            go.display()
        ),
    );
    api.ready = Some(probe(ProbeCheck::Log("now listening".into())));
    bench.start(vec![api]).await;
    bench
        .wait("a look at the log", |b| b.service("api").probe?.error)
        .await;
    assert_eq!(bench.service("api").state, InstanceState::Starting);
    std::fs::write(&go, "").unwrap();
    bench.state("api", InstanceState::Ready).await;
    assert_eq!(
        bench
            .log("api")
            .await
            .into_iter()
            .filter(|l| l == "now listening")
            .count(),
        1
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_all_goes_backwards_and_is_remembered() {
    let mut api = sleeper("api");
    api.depends_on = vec!["db".into()];
    let bench = Bench::started(vec![sleeper("db"), api]).await;
    bench.state("api", InstanceState::Ready).await;
    let services = bench.handle().stop_all().await.unwrap();
    assert!(
        services
            .iter()
            .all(|s| s.state == InstanceState::Stopped && s.manual_stop)
    );
    let stops: Vec<_> = bench
        .events()
        .into_iter()
        .filter_map(|e| match e {
            EventBody::InstanceState {
                service,
                to: InstanceState::Stopped,
                ..
            } => Some(service),
            _ => None,
        })
        .collect();
    assert_eq!(stops, ["api", "db"]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_outage_after_a_stop_by_hand_is_told_again() {
    let mut api = shell("api", "exit 3");
    api.restart.max_delay = Duration::from_millis(20);
    let bench = Bench::started(vec![api]).await;
    let downs = |bench: &Bench| {
        let events = bench.events();
        let down = |e: &&EventBody| matches!(e, EventBody::ServiceDown { .. });
        events.iter().filter(down).count()
    };
    bench
        .wait("the first outage", |b| (downs(b) == 1).then_some(()))
        .await;
    bench.handle().act("api", Action::Stop).await.unwrap();
    // It loops again: the start does not come true.
    let _ = bench.handle().act("api", Action::Start).await;
    bench
        .wait("the second outage", |b| (downs(b) == 2).then_some(()))
        .await;
    bench.end().await;
}
