//! Known sequences, step by step.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use cockpit_model::Code;
use cockpit_model::spec::{LimitAction, LimitsSpec, RestartPolicy};

use super::play::{Play, S, ended, holder, moment, refused, spec};
use super::*;

#[test]
fn a_start_is_done_when_it_is_ready() {
    let mut play = Play::of(spec());
    assert!(play.start().spawns());
    play.is(InstanceState::Starting, "started by hand");
    play.spawned().put(Input::Ready(Ok(())));
    assert_eq!(play.answer(), None, "one sample changes nothing");
    play.put(Input::Ready(Ok(())));
    assert_eq!(play.answer(), Some(Ok(())));
    assert!(play.seen.contains(&Effect::AfterReady));
    play.is(InstanceState::Ready, "answers");
}

#[test]
fn the_first_crash_restarts_at_once_and_the_next_ones_wait() {
    let mut play = Play::of(spec());
    play.start().spawned().ready().after(60_000);
    assert!(play.dies(None).spawns());
    play.is(
        InstanceState::Starting,
        "starting again (attempt 1): killed by SIGKILL after 60 s",
    );
    assert_eq!(play.machine.restarts(), 1);
    assert!(!play.spawned().after(1000).dies(Some(1)).spawns());
    play.is(InstanceState::BackingOff, "exited with code 1 after 1 s");
    assert!(!play.after(249).spawns());
    assert!(play.after(1).spawns());
    assert!(
        play.spawned().ready().after(30_000).dies(Some(1)).spawns(),
        "a stable run resets it"
    );
}

#[test]
fn five_crashes_are_a_loop_that_a_stable_run_ends() {
    let mut play = Play::of(spec());
    play.start().spawned();
    let mut downs = 0;
    for crash in 1..=7 {
        play.dies(Some(1));
        downs += play
            .seen
            .iter()
            .filter(|e| matches!(e, Effect::Down { .. }))
            .count();
        let expected = match crash {
            1 => InstanceState::Starting,
            2..=4 => InstanceState::BackingOff,
            _ => InstanceState::CrashLooping,
        };
        assert_eq!(play.machine.state(), expected, "after crash {crash}");
        if crash == 5 {
            assert_eq!(play.answer(), Some(Err(Code::ActionFailed)));
        }
        if crash > 1 {
            assert!(play.after(30_000).spawns(), "it keeps trying");
        }
        play.spawned();
    }
    assert_eq!(downs, 1, "told once");
    play.ready();
    assert!(
        !play
            .seen
            .iter()
            .any(|e| matches!(e, Effect::Recovered { .. })),
        "ready is not yet stable"
    );
    play.after(30_000);
    assert!(
        play.seen
            .iter()
            .any(|e| matches!(e, Effect::Recovered { .. }))
    );
}

#[test]
fn readiness_goes_down_and_comes_back_by_its_thresholds() {
    let mut play = Play::of(spec());
    play.start().spawned().ready();
    play.put(Input::Ready(refused()))
        .put(Input::Ready(refused()));
    play.is(InstanceState::Ready, "answers");
    play.put(Input::Ready(refused()));
    play.is(
        InstanceState::Degraded,
        "readiness: connection refused at 127.0.0.1:3000 (3 times)",
    );
    play.put(Input::Ready(Ok(())));
    assert_eq!(play.machine.state(), InstanceState::Degraded);
    play.put(Input::Ready(Ok(())));
    play.is(InstanceState::Ready, "answers");
}

#[test]
fn a_start_is_watched_closely_until_it_is_ready_or_overdue() {
    let asks = |play: &mut Play, outcome: Result<(), String>, times: u32| {
        for _ in 0..times {
            play.after(100).put(Input::Ready(outcome.clone()));
        }
        play.machine.hurried()
    };
    let mut play = Play::of(spec());
    play.start().spawned();
    assert!(asks(&mut play, refused(), 7), "it does not listen yet");
    assert!(!asks(&mut play, Ok(()), 2), "it is ready");
    assert!(!asks(&mut play, refused(), 7), "that takes its time");

    let mut play = Play::of(spec());
    play.start().spawned();
    assert!(asks(&mut play, refused(), 7));
    play.after(300_000).put(Input::Tick);
    assert!(!asks(&mut play, refused(), 1), "it may never be ready");
}

#[test]
fn liveness_is_judged_only_after_readiness_and_then_restarts() {
    let hang = || Input::Live(Err("timed out after 1 s".to_owned()));
    let mut play = Play::of(spec());
    play.start().spawned();
    (0..9).for_each(|_| {
        play.put(hang());
    });
    assert_eq!(play.machine.state(), InstanceState::Starting);
    play.ready().put(hang()).put(hang()).put(hang());
    assert!(play.seen.contains(&Effect::StopTree));
    play.is(
        InstanceState::Failing,
        "liveness: timed out after 1 s (3 times)",
    );
    play.dies(None);
    assert!(play.spawns());
    assert_eq!(play.machine.restarts(), 1);
}

#[test]
fn liveness_is_judged_after_the_start_timeout_without_readiness() {
    let mut play = Play::of(spec());
    play.start().spawned().after(300_000);
    for _ in 0..3 {
        play.put(Input::Live(refused()));
    }
    assert_eq!(play.machine.state(), InstanceState::Failing);
}

#[test]
fn failed_probes_change_nothing_after_a_sleep() {
    let mut play = Play::of(spec());
    play.start().spawned().ready();
    play.put(Input::Live(refused()))
        .put(Input::Live(refused()))
        .put(Input::Woke);
    for _ in 0..20 {
        play.put(Input::Ready(refused()))
            .put(Input::Live(refused()))
            .after(1400);
    }
    play.is(InstanceState::Ready, "answers");
    play.after(2100);
    for _ in 0..3 {
        play.put(Input::Ready(refused()));
    }
    assert_eq!(play.machine.state(), InstanceState::Degraded);
}

#[test]
fn a_manual_stop_is_not_overridden() {
    let mut play = Play::of(spec());
    play.start().spawned().dies(Some(1));
    play.spawned().dies(Some(1));
    assert_eq!(play.machine.state(), InstanceState::BackingOff);
    play.put(Input::Stop {
        by: By::Hand,
        cause: "stopped by hand".into(),
        ticket: Some(Ticket(2)),
    });
    assert!(!play.after(600_000).spawns());
    play.is(InstanceState::Stopped, "stopped by hand");
}

#[test]
fn a_restart_by_hand_shows_its_phases() {
    let mut play = Play::of(spec());
    play.start().spawned().ready();
    play.put(Input::Restart {
        by: By::Hand,
        cause: "restarted by hand".into(),
        ticket: Some(Ticket(3)),
    });
    play.is(InstanceState::Stopping, "restarted by hand");
    assert!(play.seen.contains(&Effect::StopTree));
    play.dies(None);
    assert!(play.spawns());
    play.is(InstanceState::Starting, "restarted by hand");
    play.spawned().ready();
    assert_eq!(play.answer(), Some(Ok(())));
    assert_eq!(play.machine.restarts(), 0, "by hand does not count");
}

#[test]
fn a_rest_of_the_tree_holds_the_next_start_back() {
    let mut play = Play::of(spec());
    play.start().spawned().ready();
    let exit = ended(Some(1), moment(0).wall);
    play.put(Input::Exited {
        exit,
        tree_empty: false,
    });
    assert!(!play.spawns());
    play.is(
        InstanceState::BackingOff,
        "exited with code 1 after 0 ms; ending what it left behind",
    );
    assert!(play.put(Input::TreeEmpty).spawns());
}

#[test]
fn a_task_runs_once_and_is_done() {
    let mut task = spec();
    task.kind = Kind::Task;
    task.ready = None;
    let mut play = Play::of(task);
    play.start().spawned();
    assert_eq!(
        play.machine.state(),
        InstanceState::Starting,
        "running is not done"
    );
    play.after(2500).dies(Some(0));
    play.is(InstanceState::Done, "finished after 2.5 s");
    assert_eq!(play.answer(), Some(Ok(())));
    play.put(Input::Gate(Err(Held {
        who: "db".into(),
        hopeless: None,
    })))
    .put(Input::Gate(Ok(())));
    assert!(!play.spawns());
}

#[test]
fn a_dependency_is_waited_for_and_its_return_retries_at_once() {
    let held = || {
        Err(Held {
            who: "db (starting)".into(),
            hopeless: None,
        })
    };
    let mut play = Play::of(spec());
    play.put(Input::Gate(held())).start();
    play.is(InstanceState::Waiting, "waiting for db (starting)");
    assert!(play.put(Input::Gate(Ok(()))).spawns());
    play.spawned().ready().put(Input::Gate(held()));
    assert_eq!(
        play.machine.state(),
        InstanceState::Ready,
        "a dependency that fails later stops nobody"
    );
    play.dies(Some(1)).spawned().dies(Some(1));
    play.is(
        InstanceState::BackingOff,
        "exited with code 1 after 0 ms; not ready meanwhile: db (starting)",
    );
    assert!(play.put(Input::Gate(Ok(()))).spawns());
}

#[test]
fn waiting_in_vain_is_said_at_once() {
    let mut play = Play::of(spec());
    let hopeless = Some("start db first".to_owned());
    play.put(Input::Gate(Err(Held {
        who: "db (stopped)".into(),
        hopeless,
    })))
    .start();
    assert_eq!(play.answer(), Some(Err(Code::ActionFailed)));
    assert_eq!(play.machine.state(), InstanceState::Waiting);
}

#[test]
fn a_missing_command_is_named_and_tried_again() {
    let mut play = Play::of(spec());
    play.start().put(Input::SpawnFailed(SpawnFailure::Missing {
        program: "ollama".into(),
    }));
    play.is(InstanceState::Missing, "`ollama` is not on this machine");
    assert_eq!(play.answer(), Some(Err(Code::CommandMissing)));
    assert!(play.after(30_000).spawns());
}

#[test]
fn a_held_port_names_its_holder_and_a_stand_in_serves() {
    let held = |stands_in| {
        Input::SpawnFailed(SpawnFailure::PortHeld {
            port: 3000,
            holder: Some(holder()),
            stands_in,
        })
    };
    let mut play = Play::of(spec());
    play.start().put(held(false));
    play.is(
        InstanceState::BackingOff,
        "port 3000 is held by Ollama.app (pid 812)",
    );
    assert_eq!(play.answer(), Some(Err(Code::PortConflict)));
    assert!(play.after(1000).spawns());
    play.put(held(true)).ready();
    play.is(InstanceState::Ready, "run by Ollama.app (pid 812); answers");
    play.put(Input::Stop {
        by: By::Hand,
        cause: "stopped by hand".into(),
        ticket: Some(Ticket(5)),
    });
    assert_eq!(play.answer(), Some(Err(Code::NotOurs)));
    assert!(play.put(Input::HolderGone).spawns());
}

#[test]
fn too_much_memory_restarts_after_three_samples() {
    let mut limited = spec();
    limited.limits.memory = Some(1 << 30);
    let mut play = Play::of(limited);
    play.start().spawned().ready();
    let over = || Input::Memory { bytes: 3 << 30 };
    play.put(over()).put(over()).put(Input::Memory { bytes: 1 });
    play.put(over()).put(over());
    assert_eq!(play.machine.state(), InstanceState::Ready);
    play.put(over());
    play.is(
        InstanceState::Stopping,
        "memory: 3.0 GiB is over the limit of 1.0 GiB",
    );
    play.dies(None);
    assert_eq!(play.machine.restarts(), 1);
    play.is(
        InstanceState::Starting,
        "starting again (attempt 1): memory: 3.0 GiB is over the limit of 1.0 GiB",
    );
}

#[test]
fn too_much_memory_is_told_once_an_excursion() {
    let mut limited = spec();
    limited.limits = LimitsSpec {
        memory: Some(100),
        action: LimitAction::Notify,
    };
    let mut play = Play::of(limited);
    play.start().spawned().ready();
    let mut told = 0;
    for bytes in [
        200, 200, 200, 200, 200, 50, 200, 200, 200, 50, 50, 50, 200, 200, 200,
    ] {
        play.put(Input::Memory { bytes });
        let is_told = |e: &&Effect| matches!(e, Effect::Event(EventBody::MemoryLimit { .. }));
        told += play.seen.iter().filter(is_told).count();
    }
    assert_eq!(told, 2);
    assert_eq!(play.machine.state(), InstanceState::Ready);
}

#[test]
fn a_limit_of_restarts_gives_up() {
    let mut limited = spec();
    limited.restart.max_restarts = Some(1);
    let mut play = Play::of(limited);
    play.start().spawned().dies(Some(3)).spawned().dies(Some(3));
    play.is(
        InstanceState::CrashLooping,
        "gave up after 1 restarts: exited with code 3 after 0 ms",
    );
    assert_eq!(play.machine.deadline(), None);
}

#[test]
fn a_lost_shim_ends_its_tree_before_the_next_start() {
    let mut play = Play::of(spec());
    play.start().spawned().ready().put(Input::ShimLost {
        cause: "killed".into(),
    });
    assert!(play.seen.contains(&Effect::RecoverTree) && !play.spawns());
    assert!(play.put(Input::TreeEmpty).spawns());
}

#[test]
fn what_died_while_nobody_looked_is_judged_by_its_own_time() {
    let mut play = Play::of(spec());
    play.ms = 10_000;
    let now = moment(play.ms).wall;
    let started_at = now.checked_sub(S(3600)).unwrap();
    play.put(Input::Spawned {
        pid: Some(7),
        started_at,
        uptime: S(3600),
        adopted: true,
    });
    play.is(InstanceState::Starting, "found running (pid 7)");
    let exit = ended(Some(4), now.checked_sub(S(600)).unwrap());
    play.put(Input::Exited {
        exit,
        tree_empty: true,
    });
    assert!(play.spawns());
    play.is(
        InstanceState::Starting,
        "starting again (attempt 1): exited with code 4 after 50 min",
    );
}

#[test]
fn without_a_readiness_probe_any_more_what_runs_is_ready() {
    let mut play = Play::of(spec());
    play.start().spawned().put(Input::Ready(refused()));
    let mut bare = spec();
    bare.ready = None;
    play.machine.reconfigure(Arc::new(bare), "runs".to_owned());
    play.put(Input::Tick);
    play.is(InstanceState::Ready, "runs");
}

#[test]
fn what_may_not_be_restarted_is_only_told_to_hang_and_may_heal() {
    let mut never = spec();
    never.restart.policy = RestartPolicy::Never;
    let mut play = Play::of(never);
    play.start().spawned().ready();
    for _ in 0..3 {
        play.put(Input::Live(refused()));
    }
    assert_eq!(play.machine.state(), InstanceState::Failing);
    assert!(!play.seen.contains(&Effect::StopTree));
    play.put(Input::Live(Ok(()))).put(Input::Live(Ok(())));
    play.is(InstanceState::Ready, "answers");
}

fn count(seen: &[Effect], is: fn(&Effect) -> bool) -> usize {
    seen.iter().filter(|effect| is(effect)).count()
}

#[test]
fn an_outage_that_was_told_and_ended_by_a_stop_is_told_anew() {
    let is_down = |e: &Effect| matches!(e, Effect::Down { .. });
    let mut play = Play::of(spec());
    for life in 1..=2 {
        play.start().spawned();
        let mut downs = 0;
        for _ in 0..6 {
            play.dies(Some(1));
            downs += count(&play.seen, is_down);
            play.after(30_000).spawned();
        }
        assert_eq!(downs, 1, "in life {life}");
        play.put(Input::Stop {
            by: By::Hand,
            cause: "stopped by hand".into(),
            ticket: None,
        });
        assert_eq!(count(&play.seen, |e| *e == Effect::Forget), 1);
        play.dies(None);
        play.is(InstanceState::Stopped, "stopped by hand");
    }
    play.start().spawned().ready().put(Input::Stop {
        by: By::Hand,
        cause: "stopped by hand".into(),
        ticket: None,
    });
    assert_eq!(count(&play.seen, |e| *e == Effect::Forget), 0);
}

#[test]
fn without_readiness_a_slow_start_is_no_hang() {
    let mut slow = spec();
    slow.ready = None;
    let mut play = Play::of(slow.clone());
    play.start().spawned();
    for _ in 0..20 {
        play.after(10_000).put(Input::Live(refused()));
    }
    assert_eq!(play.machine.state(), InstanceState::Ready);
    play.put(Input::Live(Ok(())));
    for _ in 0..3 {
        play.put(Input::Live(refused()));
    }
    assert_eq!(
        play.machine.state(),
        InstanceState::Failing,
        "it lived, and hangs"
    );
    let mut play = Play::of(slow);
    play.start().spawned().after(300_000);
    for _ in 0..3 {
        play.put(Input::Live(refused()));
    }
    assert_eq!(
        play.machine.state(),
        InstanceState::Failing,
        "it never lived"
    );
}
