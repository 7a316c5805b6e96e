//! The services under the real engine: killed, hung, edited, left alone by a dying cockpit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use cockpit_model::InstanceState;
use cockpit_model::verdict::{ConfigState, VerdictState};
use rustix::process::Signal;
use support::{Cockpit, exe, free_port, is_alive, pid, signal};

/// A double of a small API on a port, ready by HTTP.
fn api(name: &str, port: u16, more: &str) -> String {
    format!(
        r#"
[services.{name}]
command = ["{exe}", "simulate", "http", "--port", "{{port}}"]
listen = "127.0.0.1:{port}"
ready = {{ http = "http://127.0.0.1:{{port}}/health", every = "200ms", timeout = "1s" }}
live = {{ http = "http://127.0.0.1:{{port}}/health", every = "300ms", timeout = "1s", failures = 3 }}
{more}
"#,
        exe = exe().display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_comes_back_and_a_hung_one_too() {
    let cockpit = Cockpit::start(&api("api", free_port(), "")).await;
    let first = pid(&cockpit.wait_ready("api").await);
    signal(first, Signal::KILL);
    let second = pid(&cockpit.wait_successor("api", first).await);
    signal(second, Signal::STOP);
    let back = cockpit.wait_successor("api", second).await;
    assert_eq!(back.instances[0].restarts, 2);
    assert!(!is_alive(first) && !is_alive(second));
    let (code, out, _) = cockpit.verb(&["status", "--json"]).await;
    assert_eq!(code, 0);
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["state"], "well", "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dying_cockpit_takes_nothing_with_it() {
    let (a, b) = (free_port(), free_port());
    let config = api("a", a, "") + &api("b", b, "depends_on = [\"a\"]");
    let mut cockpit = Cockpit::start(&config).await;
    cockpit.wait_all_ready().await;
    let before: Vec<u32> = cockpit.services().await.iter().map(pid).collect();
    for round in 0..5 {
        cockpit.kill_engine().await;
        assert!(before.iter().all(|&pid| is_alive(pid)), "round {round}");
        cockpit.serve().await;
        let after: Vec<u32> = cockpit.wait_all_ready().await.iter().map(pid).collect();
        assert_eq!(before, after, "round {round}");
    }
    // One dies while nobody watches: the next cockpit says how, and brings it back.
    cockpit.kill_engine().await;
    signal(before[0], Signal::TERM);
    while is_alive(before[0]) {
        tokio::task::yield_now().await;
    }
    cockpit.serve().await;
    let back = cockpit.wait_successor("a", before[0]).await;
    assert!(back.instances[0].last_exit.is_some());
    assert_eq!(pid(&cockpit.service("b").await), before[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_nothing_of_the_tree_and_is_remembered() {
    // The leader and its children ignore TERM; one child is in a session of its own.
    let config = r#"
[services.stubborn]
command = ["sh", "-c", "trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do sleep 1000; done' & sh -c 'trap \"\" TERM; while :; do sleep 1000; done' & echo all are there; while :; do sleep 1000; done"]
ready = { log = "all are there" }
stop = { grace = "300ms" }
"#;
    let mut cockpit = Cockpit::start(config).await;
    let leader = pid(&cockpit.wait_ready("stubborn").await);
    assert!(cockpit.family().contains(&leader));
    let (code, _, error) = cockpit.verb(&["stop", "stubborn"]).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(cockpit.family(), Vec::<u32>::new());
    assert_eq!(
        cockpit.service("stubborn").await.state,
        InstanceState::Stopped
    );

    cockpit.terminate_engine().await;
    cockpit.serve().await;
    let service = cockpit.service("stubborn").await;
    assert_eq!(service.state, InstanceState::Stopped, "{}", service.cause);
    assert!(service.manual_stop);
    let (code, _, error) = cockpit.verb(&["start", "stubborn"]).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(
        cockpit.service("stubborn").await.state,
        InstanceState::Ready
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_shim_is_replaced_and_its_tree_is_ended() {
    let cockpit = Cockpit::start(&api("api", free_port(), "")).await;
    let old = pid(&cockpit.wait_ready("api").await);
    let shims = cockpit.shims();
    assert_eq!(shims.len(), 1);
    signal(shims[0], Signal::KILL);
    cockpit.wait_successor("api", old).await;
    assert!(!is_alive(old), "the orphan was ended");
    assert_eq!(cockpit.shims().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_change_restarts_only_what_changed_and_a_broken_one_touches_nothing() {
    let (a, b) = (free_port(), free_port());
    let base = api("a", a, "") + &api("b", b, "depends_on = [\"a\"]");
    let cockpit = Cockpit::start(&base).await;
    cockpit.wait_all_ready().await;
    let (pid_a, pid_b) = (
        pid(&cockpit.service("a").await),
        pid(&cockpit.service("b").await),
    );

    cockpit.write_config(&(base.clone() + "\n[services.c]\ncomand = [\"true\"]\n"));
    let status = cockpit.wait_config(ConfigState::Invalid).await;
    let said = status.config.errors[0].to_string();
    assert!(
        said.contains("comand") && said.contains("command"),
        "{said}"
    );
    assert_eq!(pid(&cockpit.service("a").await), pid_a);

    let changed = api("a", a, "env = { LEVEL = \"debug\" }") + &api("b", b, "depends_on = [\"a\"]");
    cockpit.write_config(&changed);
    cockpit.wait_successor("a", pid_a).await;
    cockpit.wait_config(ConfigState::Ok).await;
    assert_eq!(
        pid(&cockpit.service("b").await),
        pid_b,
        "a dependant is left alone"
    );

    cockpit.write_config(&api("b", b, ""));
    cockpit.wait("a is gone", |all| all.len() == 1).await;
    assert_eq!(pid(&cockpit.service("b").await), pid_b);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = "[services.ghost]\ncommand = [\"no-such-program-anywhere\"]\n".to_owned()
        + &api("conflict", port, "")
        + "\n[services.looping]\ncommand = [\"sh\", \"-c\", \"echo the last words; exit 7\"]\nrestart = { max_delay = \"300ms\" }\n";
    let cockpit = Cockpit::start(&config).await;
    let ghost = cockpit
        .wait_for("ghost", "missing", |s| s.state == InstanceState::Missing)
        .await;
    assert!(
        ghost.cause.contains("no-such-program-anywhere"),
        "{}",
        ghost.cause
    );
    let looping = cockpit
        .wait_for("looping", "crash looping", |s| {
            s.state == InstanceState::CrashLooping
        })
        .await;
    let exit = looping.instances[0].last_exit.clone().unwrap();
    assert_eq!(exit.code, Some(7));
    assert!(
        exit.last_lines
            .iter()
            .any(|line| line.contains("the last words"))
    );
    let conflict = cockpit
        .wait_for("conflict", "names the holder", |s| {
            s.cause.contains(&port.to_string())
        })
        .await;
    let me = std::process::id().to_string();
    assert!(conflict.cause.contains(&me), "{}", conflict.cause);
    assert_eq!(cockpit.status().await.verdict.state, VerdictState::Down);
    let (code, _, error) = cockpit.verb(&["start", "ghost"]).await;
    assert_eq!(code, 1);
    assert!(error.contains("no-such-program-anywhere"), "{error}");
    // Freed, the port is taken by whom it was meant for.
    drop(taken);
    cockpit.wait_ready("conflict").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_kept_followed_and_searched() {
    let config = r#"
[services.talker]
command = ["sh", "-c", "echo first line; echo second LINE >&2; exec sleep 1000"]
ready = { log = "second" }
"#;
    let cockpit = Cockpit::start(config).await;
    cockpit.wait_ready("talker").await;
    let (code, out, _) = cockpit.verb(&["logs", "talker"]).await;
    assert_eq!(code, 0);
    assert!(
        out.contains("first line") && out.contains("second LINE"),
        "{out}"
    );
    let (_, out, _) = cockpit.verb(&["logs", "talker", "--json"]).await;
    assert!(
        out.contains(r#""cockpit""#) && out.contains("started with the cockpit"),
        "the cockpit's own lines: {out}"
    );
    let (_, out, _) = cockpit
        .verb(&["logs", "talker", "--grep", "second line"])
        .await;
    assert!(
        !out.contains("first") && out.contains("second LINE"),
        "{out}"
    );
}
