//! A real shim with real children.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use cockpit_shim::protocol::{
    Command, ExitStatus, FromShim, LogSpec, SpawnErrorKind, State, StopSpec, ToShim,
};
use cockpit_shim::tree::{Identity, end_marked, find_marked, pidfile};
use rustix::process::Signal;
use support::{Engine, Shim, eventually};

const TERM: StopSpec = StopSpec {
    signal: 15,
    grace_ms: 60_000,
};

/// A leader with a child, a grandchild, and one in its own session; all but the leader write their pids.
/// `$1` is what each does with TERM.
const FAMILY: &str = r#"
    sh -c 'trap "'"$1"'" TERM; sh -c "trap \"'"$1"'\" TERM; echo \$\$ >grandchild; while :; do sleep 1; done" &
        echo $$ >child; while :; do sleep 1; done' &
    setsid sh -c 'trap "'"$1"'" TERM; echo $$ >own-session; while :; do sleep 1; done' &
    trap "$1" TERM
    while :; do sleep 1; done
"#;

fn family(shim: &Shim) -> [Identity; 3] {
    ["child", "grandchild", "own-session"].map(|name| shim.identity(name))
}

#[test]
fn a_child_writes_and_exits() {
    let shim = Shim::start();
    let (mut engine, welcome) = shim.connect();
    assert_eq!(welcome.state, State::Empty);
    assert_eq!(welcome.shim_pid, shim.process.id());
    assert!(welcome.exits.is_empty() && welcome.label.is_empty() && welcome.log.is_none());

    let script = "echo out; echo err >&2; printf unfinished; exit 7";
    let started = engine.spawn(shim.spawn_of(&["sh", "-c", script]));
    let exit = engine.exit();
    assert_eq!(
        (exit.pid, exit.start_time),
        (started.pid, started.start_time)
    );
    assert_eq!(exit.status, ExitStatus::Code(7));
    assert!(!exit.requested && exit.at_micros >= started.at_micros);
    engine.empty();
    let mut lines = exit.last_lines;
    lines.sort();
    assert_eq!(lines, ["err", "out", "unfinished"]);
    let mut log = shim.log_until("exited with code 7");
    log.pop();
    log.sort();
    assert_eq!(log, ["stderr err", "stdout out", "stdout unfinished"]);
}

#[test]
fn a_child_has_exactly_the_environment_given_and_default_signals() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    let mut spawn = shim.spawn_of(&["env"]);
    spawn.env.push(("A".into(), "b=c".into()));
    let path = std::env::var("PATH").unwrap();
    engine.spawn(spawn);
    assert_eq!(engine.exit().status, ExitStatus::Code(0));
    engine.empty();
    let mut log = shim.log_until("exited with code 0");
    log.pop();
    log.sort();
    assert_eq!(
        log,
        [
            "stdout A=b=c".to_owned(),
            format!("stdout PATH={path}"),
            format!("stdout STUDIO_COCKPIT_INSTANCE={}", shim.marker),
        ]
    );
    // Signals that the shim itself lives through end the child.
    for signal in [Signal::INT, Signal::HUP, Signal::QUIT, Signal::PIPE] {
        rustix::process::kill_process(pid(shim.process.id()), signal).unwrap();
        let started = engine.spawn(shim.spawn_of(&["sleep", "1000"]));
        rustix::process::kill_process(pid(started.pid), signal).unwrap();
        assert_eq!(engine.exit().status, ExitStatus::Signal(signal.as_raw()));
        engine.empty();
    }
}

fn pid(pid: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

#[test]
fn a_killed_child_can_be_started_again_at_once() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    for _ in 0..20 {
        let started = engine.spawn(shim.spawn_of(&["sleep", "1000"]));
        rustix::process::kill_process(pid(started.pid), Signal::KILL).unwrap();
        let exit = engine.exit();
        assert_eq!(
            (exit.pid, exit.status),
            (started.pid, ExitStatus::Signal(9))
        );
        engine.empty();
        engine.say(&ToShim::AckExit { id: exit.id });
    }
    assert!(shim.connect().1.exits.is_empty());
}

#[test]
fn a_stop_ends_the_whole_tree_gracefully() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    let bye = "echo bye; exit 0";
    engine.spawn(shim.spawn_of(&["sh", "-c", FAMILY, "sh", bye]));
    let family = family(&shim);
    engine.say(&ToShim::Stop(TERM));
    let exit = engine.exit();
    assert_eq!(exit.status, ExitStatus::Code(0));
    assert!(exit.requested);
    engine.empty();
    assert!(!family.iter().any(|id| id.is_alive()));
    assert!(
        shim.log().iter().filter(|l| *l == "stdout bye").count() >= 2,
        "{:?}",
        shim.log()
    );
}

#[test]
fn a_tree_that_ignores_term_is_killed_whole() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    let started = engine.spawn(shim.spawn_of(&["sh", "-c", FAMILY, "sh", ":"]));
    let family = family(&shim);
    engine.say(&ToShim::Stop(StopSpec {
        grace_ms: 50,
        ..TERM
    }));
    let exit = engine.exit();
    assert_eq!(
        (exit.pid, exit.status),
        (started.pid, ExitStatus::Signal(9))
    );
    assert!(exit.requested);
    engine.empty();
    assert!(!family.iter().any(|id| id.is_alive()));
    assert!(find_marked(&shim.marker, None).is_empty());
}

#[test]
fn what_a_dead_leader_leaves_is_ended_before_the_tree_is_empty() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    let started = engine.spawn(shim.spawn_of(&["sh", "-c", FAMILY, "sh", ":"]));
    let family = family(&shim);
    rustix::process::kill_process(pid(started.pid), Signal::KILL).unwrap();
    let exit = engine.exit();
    assert_eq!(
        (exit.status, exit.requested),
        (ExitStatus::Signal(9), false)
    );
    engine.empty();
    assert!(!family.iter().any(|id| id.is_alive()));
}

#[test]
fn a_stopped_child_hears_a_stop_and_a_kill_needs_no_hearing() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    for end in [ToShim::Stop(TERM), ToShim::Kill] {
        let started = engine.spawn(shim.spawn_of(&["sleep", "1000"]));
        rustix::process::kill_process(pid(started.pid), Signal::STOP).unwrap();
        engine.say(&end);
        let exit = engine.exit();
        let signal = if end == ToShim::Kill { 9 } else { 15 };
        assert_eq!(
            (exit.status, exit.requested),
            (ExitStatus::Signal(signal), true)
        );
        engine.empty();
    }
}

#[test]
fn an_engine_may_die_and_another_carries_on() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    let script = "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two; exit 5";
    let started = engine.spawn(shim.spawn_of(&["sh", "-c", script]));
    drop(engine);

    let (mut engine, welcome) = shim.connect();
    let State::Running(running) = welcome.state else {
        panic!("{welcome:?}");
    };
    assert_eq!(
        (running.pid, running.start_time),
        (started.pid, started.start_time)
    );
    assert_eq!(
        (running.since_micros, running.stopping),
        (started.at_micros, false)
    );
    assert_eq!((welcome.label, welcome.exits.len()), (b"label".to_vec(), 0));
    assert_eq!(welcome.log.unwrap().path, shim.path("s.log"));
    engine.say(&ToShim::SetLabel {
        label: b"new".to_vec(),
    });
    engine.say(&ToShim::Ping { nonce: 3 });
    assert_eq!(engine.hear(), FromShim::Pong { nonce: 3 });
    drop(engine);

    // It ends while nobody is there.
    std::fs::write(shim.path("go"), "").unwrap();
    let child = Identity {
        pid: started.pid,
        start_time: started.start_time,
    };
    let log = shim.log_until("exited with code 5");
    assert_eq!(log[..2], ["stdout one", "stdout two"]);
    assert!(!child.is_alive());
    for _ in 0..2 {
        let (_, welcome) = shim.connect();
        assert_eq!(
            (welcome.state, &welcome.label[..]),
            (State::Empty, &b"new"[..])
        );
        assert_eq!(welcome.exits.len(), 1);
        assert_eq!(welcome.exits[0].status, ExitStatus::Code(5));
        assert_eq!(welcome.exits[0].pid, started.pid);
        assert_eq!(welcome.exits[0].last_lines, ["one", "two"]);
    }
    let (mut engine, welcome) = shim.connect();
    engine.say(&ToShim::AckExit {
        id: welcome.exits[0].id,
    });
    assert!(shim.connect().1.exits.is_empty());
}

#[test]
fn only_a_hello_takes_the_engines_place() {
    let shim = Shim::start();
    let (mut first, _) = shim.connect();
    let stranger = std::os::unix::net::UnixStream::connect(shim.path("s.sock")).unwrap();
    first.say(&ToShim::Ping { nonce: 1 });
    assert_eq!(first.hear(), FromShim::Pong { nonce: 1 });
    drop(stranger);
    let (mut second, _) = shim.connect();
    assert_eq!(first.next(), None);
    second.say(&ToShim::Ping { nonce: 2 });
    assert_eq!(second.hear(), FromShim::Pong { nonce: 2 });
    let mode = std::fs::metadata(shim.path("s.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_failure_to_start_is_told_by_its_kind() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    std::fs::write(shim.path("plain"), "#!/bin/sh\n").unwrap();
    std::fs::write(shim.path("script"), "#!/no/such/interpreter -x\n").unwrap();
    std::fs::write(shim.path("garbage"), "\x01\x02\x03").unwrap();
    for name in ["script", "garbage"] {
        let path = shim.path(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let folder = shim.folder.path().to_owned();
    for (argv, cwd, kind, says) in [
        (
            "no-such-command",
            folder.clone(),
            SpawnErrorKind::NotFound,
            "no-such-command",
        ),
        (
            "/no/such/command",
            folder.clone(),
            SpawnErrorKind::NotFound,
            "/no/such/command",
        ),
        (
            "./script",
            folder.clone(),
            SpawnErrorKind::NotFound,
            "/no/such/interpreter",
        ),
        (
            "./plain",
            folder.clone(),
            SpawnErrorKind::Permission,
            "./plain",
        ),
        ("sh", folder.join("missing"), SpawnErrorKind::Cwd, "missing"),
        ("sh", folder.join("plain"), SpawnErrorKind::Cwd, "plain"),
        (
            "./garbage",
            folder.clone(),
            SpawnErrorKind::Other,
            "./garbage",
        ),
        ("", folder.clone(), SpawnErrorKind::NotFound, "command"),
    ] {
        let mut spawn = shim.spawn_of(&[argv]);
        spawn.cwd = cwd;
        let error = engine.fail_to_spawn(spawn);
        assert_eq!(error.kind, kind, "{error:?}");
        assert!(error.text.contains(says), "{error:?}");
        assert!(error.errno != 0);
    }
    let mut spawn = shim.spawn_of(&["plain"]);
    spawn.env = vec![("PATH".into(), folder.clone().into())];
    assert_eq!(engine.fail_to_spawn(spawn).kind, SpawnErrorKind::Permission);
    // And it is none the worse for it.
    engine.spawn(shim.spawn_of(&["true"]));
    assert_eq!(engine.exit().status, ExitStatus::Code(0));
    engine.empty();
}

#[test]
fn what_is_out_of_turn_is_refused() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    let refused = |engine: &mut Engine, wanted| match engine.hear() {
        FromShim::Refused(refusal) => assert_eq!(refusal.command, wanted),
        other => panic!("not refused but {other:?}"),
    };
    engine.say(&ToShim::Stop(TERM));
    engine.empty();
    engine.spawn(shim.spawn_of(&["sleep", "1000"]));
    engine.say(&ToShim::Spawn(Box::new(shim.spawn_of(&["true"]))));
    refused(&mut engine, Command::Spawn);
    engine.say(&ToShim::Quit);
    refused(&mut engine, Command::Quit);
    engine.say(&ToShim::Stop(StopSpec {
        signal: 0,
        grace_ms: 0,
    }));
    refused(&mut engine, Command::Stop);
    engine.say(&ToShim::SetStop(StopSpec {
        signal: 0,
        grace_ms: 0,
    }));
    refused(&mut engine, Command::SetStop);
    engine.say(&ToShim::Kill);
    engine.exit();
    engine.empty();
}

#[test]
fn a_quit_leaves_nothing_behind() {
    let mut shim = Shim::start();
    let (mut engine, _) = shim.connect();
    engine.say(&ToShim::Quit);
    assert_eq!(engine.next(), None);
    assert!(shim.process.wait().unwrap().success());
    assert!(!shim.path("s.sock").exists() && !shim.path("s.pid").exists());
}

#[test]
fn a_shutdown_of_the_machine_ends_the_tree_as_it_wants_to_be_ended() {
    let mut shim = Shim::start();
    let (mut engine, _) = shim.connect();
    let mut spawn = shim.spawn_of(&[
        "sh",
        "-c",
        "trap 'echo int; exit 0' INT; trap : TERM; echo $$ >up; while :; do sleep 0.05; done",
    ]);
    spawn.stop.signal = Signal::INT.as_raw();
    engine.spawn(spawn);
    let child = shim.identity("up");
    rustix::process::kill_process(pid(shim.process.id()), Signal::TERM).unwrap();
    let exit = engine.exit();
    assert_eq!((exit.status, exit.requested), (ExitStatus::Code(0), true));
    engine.empty();
    assert_eq!(engine.next(), None);
    assert!(shim.process.wait().unwrap().success());
    assert!(!child.is_alive());
    assert_eq!(
        shim.log(),
        ["stdout int", "cockpit exited with code 0, as asked"]
    );
}

/// Also if it was the last word of an engine that went, and its successor is there already.
#[test]
fn a_stop_that_was_changed_while_it_runs_is_how_a_shutdown_ends_it() {
    let mut shim = Shim::start();
    let (mut engine, _) = shim.connect();
    engine.spawn(shim.spawn_of(&[
        "sh",
        "-c",
        "trap 'echo usr1; exit 0' USR1; trap 'echo term; exit 0' TERM; echo $$ >up; while :; do sleep 0.05; done",
    ]));
    let child = shim.identity("up");
    let (signal, grace_ms) = (Signal::USR1.as_raw(), 60_000);
    rustix::process::kill_process(pid(shim.process.id()), Signal::STOP).unwrap();
    engine.say(&ToShim::SetStop(StopSpec { signal, grace_ms }));
    drop(engine);
    let mut successor = Engine::begin(&shim.path("s.sock"));
    rustix::process::kill_process(pid(shim.process.id()), Signal::CONT).unwrap();
    assert!(matches!(successor.hear(), FromShim::Welcome(_)));
    assert!(child.is_alive());
    rustix::process::kill_process(pid(shim.process.id()), Signal::TERM).unwrap();
    successor.exit();
    successor.empty();
    assert!(shim.process.wait().unwrap().success());
    assert!(shim.log().contains(&"stdout usr1".to_owned()));
}

/// A shim meets engines that are newer than it.
#[test]
fn what_a_newer_engine_says_is_skipped() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    engine.spawn(shim.spawn_of(&["sleep", "1000"]));
    engine.say(&ToShim::Unknown(0x7fff));
    engine.say(&ToShim::Ping { nonce: 7 });
    assert_eq!(engine.hear(), FromShim::Pong { nonce: 7 });
    engine.say(&ToShim::Kill);
    engine.exit();
    engine.empty();
}

#[test]
fn the_tree_of_a_killed_shim_is_found_and_ended() {
    let mut shim = Shim::start();
    let (mut engine, _) = shim.connect();
    let started = engine.spawn(shim.spawn_of(&["sh", "-c", FAMILY, "sh", ":"]));
    let family = family(&shim);
    let leader = Identity {
        pid: started.pid,
        start_time: started.start_time,
    };
    let file = eventually("the leader in the pidfile", || {
        let file = pidfile::read(&shim.path("s.pid")).ok()?;
        file.leader.is_some().then_some(file)
    });
    assert_eq!((file.leader, &file.marker), (Some(leader), &shim.marker));
    assert!(file.shim.is_alive());
    shim.process.kill().unwrap();
    shim.process.wait().unwrap();
    assert!(!file.shim.is_alive());

    let found = find_marked(&shim.marker, file.leader);
    assert_eq!(found.first(), Some(&leader));
    assert!(family.iter().all(|id| found.contains(id) && id.is_alive()));
    let ended = end_marked(&shim.marker, file.leader, 15, Duration::from_millis(50)).unwrap();
    assert!(family.iter().all(|id| ended.contains(id) && !id.is_alive()));
    assert!(!leader.is_alive());
    assert!(find_marked(&shim.marker, file.leader).is_empty());
    // Another's marker ends nobody.
    assert_eq!(end_marked("", None, 9, Duration::ZERO), Ok(Vec::new()));
}

#[test]
fn live_lines_and_remarks_are_followed() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    engine.say(&ToShim::Follow { on: true });
    engine.spawn(shim.spawn_of(&["sh", "-c", "echo a; read x; sleep 1000"]));
    let FromShim::Line(line) = engine.hear() else {
        panic!("no line");
    };
    assert_eq!((line.stream.as_str(), &line.text[..]), ("stdout", "a"));
    engine.say(&ToShim::Remark {
        text: "ready".into(),
    });
    let FromShim::Line(remark) = engine.hear() else {
        panic!("no remark");
    };
    assert_eq!(remark.text, "ready");
    engine.say(&ToShim::Follow { on: false });
    engine.say(&ToShim::Kill);
    engine.exit();
    engine.empty();
    assert_eq!(
        shim.log_until("ended by SIGKILL, as asked")[..2],
        ["stdout a", "cockpit ready"]
    );
}

#[test]
fn a_flood_neither_blocks_nor_grows() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    // It follows, and does not read.
    engine.say(&ToShim::Follow { on: true });
    let mut spawn = shim.spawn_of(&[
        "sh",
        "-c",
        "yes 'a line of a flood that is not short' | head -c 60000000; echo; echo done",
    ]);
    spawn.log = LogSpec {
        path: shim.path("s.log"),
        max_size: 300_000,
        keep: 2,
    };
    engine.spawn(spawn);
    let log = shim.path("s.log");
    eventually("the flood's end", || {
        let lines = cockpit_shim::log::reader::tail(&log, 1, Some("DONE"))
            .unwrap()
            .lines;
        (!lines.is_empty()).then_some(())
    });
    let files = std::fs::read_dir(shim.folder.path())
        .unwrap()
        .map(Result::unwrap);
    let sizes = files
        .filter(|f| f.file_name().to_str().unwrap().starts_with("s.log"))
        .map(|f| f.metadata().unwrap().len());
    let total: u64 = sizes.sum();
    assert!(total <= 900_000 && total > 500_000, "{total}");
    let (mut lines, mut lost) = (0_u64, 0);
    let exit = loop {
        match engine.hear() {
            FromShim::Line(_) => lines += 1,
            FromShim::Lost { lines } => lost += lines,
            FromShim::Exited(exit) => break exit,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(exit.last_lines.len(), 20);
    assert_eq!(exit.last_lines[19], "done");
    assert!(lines > 0 && lost > 0);
}

#[test]
fn a_second_shim_does_not_take_a_living_ones_socket() {
    let shim = Shim::start();
    let (mut engine, _) = shim.connect();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_cockpit-shim"))
        .arg(shim.path("s.sock"))
        .arg(shim.path("other.pid"))
        .args(["--instance", "other"])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("s.sock"));
    engine.say(&ToShim::Ping { nonce: 1 });
    assert_eq!(engine.hear(), FromShim::Pong { nonce: 1 });
}
