//! Files that cannot be read or written, databases of another age: named with what to do, survived,
//! nothing lost.
//!
//! Root may read everything, so where the tests run as root the engine runs as nobody.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cockpit_model::verdict::{ConfigState, VerdictState};
use rustix::process::Signal;
use support::{Cockpit, pid, signal};

const QUIET: &str = "[services.quiet]\ncommand = [\"sleep\", \"1000\"]\n";

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The answer of a verb that has to fail, without a panic, naming the file and what to do.
async fn refused(cockpit: &Cockpit, args: &[&str], exit: i32, names: &[&str]) -> String {
    let (code, out, error) = cockpit.verb(args).await;
    assert_eq!(code, exit, "{args:?}: {out}{error}");
    for name in names {
        assert!(error.contains(name), "{args:?} names {name}: {error}");
    }
    assert!(!error.contains("panicked"), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_may_not_be_read_starts_nothing() {
    let cockpit = Cockpit::unprivileged(QUIET);
    mode(&cockpit.config_path(), 0o000);
    let path = cockpit.config_path().display().to_string();
    for verb in ["check", "serve"] {
        let names = [path.as_str(), "may not be read by you", "that you can read"];
        refused(&cockpit, &[verb], 2, &names).await;
    }
    assert!(cockpit.shims().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_becomes_unreadable_is_kept_out_and_the_services_go_on() {
    let mut cockpit = Cockpit::unprivileged(QUIET);
    cockpit.serve().await;
    let before = pid(&cockpit.wait_ready("quiet").await);
    cockpit.write_config_with("[services.other]\ncommand = [\"sleep\", \"1000\"]\n", 0o000);
    let status = cockpit.wait_config(ConfigState::Invalid).await;
    let error = status.config.errors[0].to_string();
    assert!(error.contains("may not be read by you"), "{error}");
    let services = cockpit.services().await;
    assert_eq!((services.len(), pid(&services[0])), (1, before));
    cockpit.write_config(QUIET);
    cockpit.wait_config(ConfigState::Ok).await;
    assert_eq!(pid(&cockpit.service("quiet").await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_env_file_that_may_not_be_read_starts_nothing() {
    let cockpit = Cockpit::unprivileged(&format!("{QUIET}env_file = \"secrets.env\"\n"));
    let secrets = cockpit.data().join("secrets.env");
    fs::write(&secrets, "KEY=s3cret\n").unwrap();
    mode(&secrets, 0o000);
    cockpit.own_all();
    for verb in ["check", "serve"] {
        let names = ["cockpit.toml:6:", "secrets.env", "may not be read by you"];
        let error = refused(&cockpit, &[verb], 2, &names).await;
        assert!(!error.contains("s3cret"), "{error}");
    }
    assert!(cockpit.shims().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_not_be_read_is_named_and_kept() {
    let cockpit = Cockpit::unprivileged(QUIET);
    let token = cockpit.data().join("token");
    fs::write(&token, "0".repeat(64)).unwrap();
    mode(&token, 0o000);
    cockpit.own_all();
    let path = token.display().to_string();
    refused(&cockpit, &["serve"], 1, &[&path, "remove it"]).await;
    mode(&token, 0o600);
    assert_eq!(fs::read_to_string(&token).unwrap(), "0".repeat(64));
    assert!(cockpit.shims().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_may_not_be_written_is_named() {
    let cockpit = Cockpit::unprivileged(QUIET);
    mode(cockpit.data(), 0o500);
    let folder = cockpit.data().display().to_string();
    let lock = format!("{folder}/engine.lock");
    refused(
        &cockpit,
        &["serve"],
        1,
        &[&lock, "check that the folder is yours"],
    )
    .await;
    let new = format!("{folder}/new.toml");
    let write = ["init", "--write", "--config", &new];
    refused(&cockpit, &write, 1, &[&new, "make the folder writable"]).await;
    // Reading needs no more than that.
    let (code, out, error) = cockpit.verb(&["check"]).await;
    assert_eq!(code, 0, "{out}{error}");
    mode(cockpit.data(), 0o700);
    assert!(cockpit.shims().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_folder_that_becomes_read_only_the_services_are_kept_up() {
    let mut cockpit = Cockpit::unprivileged(QUIET);
    cockpit.serve().await;
    let first = pid(&cockpit.wait_ready("quiet").await);
    mode(cockpit.data(), 0o500);
    signal(first, Signal::KILL);
    let second = pid(&cockpit.wait_successor("quiet", first).await);
    // A new engine cannot be had there, and says why; what runs is left alone.
    cockpit.kill_engine().await;
    let socket = cockpit.data().join("engine.sock").display().to_string();
    refused(
        &cockpit,
        &["serve"],
        1,
        &[&socket, "check that the folder is yours"],
    )
    .await;
    assert!(support::is_alive(second));
    mode(cockpit.data(), 0o700);
    cockpit.serve().await;
    assert_eq!(pid(&cockpit.wait_ready("quiet").await), second);
}

/// Makes it a database of a layout nobody knows yet.
fn age(path: &Path) -> Vec<u8> {
    let database = rusqlite::Connection::open(path).unwrap();
    database.pragma_update(None, "user_version", 999).unwrap();
    drop(database);
    fs::read(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_downgrade_the_databases_are_left_alone_and_the_services_are_kept_up() {
    let mut cockpit = Cockpit::new(&format!(
        "{QUIET}\n[services.off]\ncommand = [\"sleep\", \"1000\"]\n"
    ));
    cockpit.serve().await;
    let first = pid(&cockpit.wait_ready("quiet").await);
    cockpit.wait_ready("off").await;
    cockpit.act("off", "stop").await;
    cockpit.terminate_engine().await;
    let kept: Vec<_> = ["state.db", "telemetry.db"]
        .map(|name| (name, age(&cockpit.data().join(name))))
        .into();

    cockpit.serve().await;
    assert_eq!(pid(&cockpit.wait_ready("quiet").await), first);
    let off = cockpit.service("off").await;
    assert!(off.manual_stop, "a stop by hand holds: {}", off.cause);
    signal(first, Signal::KILL);
    cockpit.wait_successor("quiet", first).await;
    let status = cockpit.status().await;
    assert_ne!(status.verdict.state, VerdictState::Down);
    let (code, out, error) = cockpit.verb(&["status"]).await;
    assert_eq!(code, 0, "{error}");
    for (name, bytes) in &kept {
        let path = cockpit.data().join(name);
        let told = status.engine.trouble.iter().find(|t| t.starts_with(name));
        let told = told.unwrap_or_else(|| panic!("{name} in {:?}", status.engine.trouble));
        for word in [
            &path.display().to_string(),
            "newer version",
            "move the file away",
        ] {
            assert!(told.contains(word), "{told}");
        }
        assert!(out.contains(told.as_str()), "{out}");
        assert!(&fs::read(&path).unwrap() == bytes, "{name} was changed");
    }
    let answer = cockpit.client().get_bytes("/api/events").await;
    let problem = answer.unwrap_err().to_string();
    assert!(problem.contains("newer version"), "{problem}");
    cockpit.terminate_engine().await;
    for (name, bytes) in &kept {
        assert!(
            &fs::read(cockpit.data().join(name)).unwrap() == bytes,
            "{name} was changed"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_an_engine_that_nobody_watches_is_bounded_while_it_runs() {
    let cockpit = Cockpit::start(QUIET).await;
    cockpit.wait_ready("quiet").await;
    let log = cockpit.data().join("engine.log");
    let size = |number: u32| {
        let older = cockpit.data().join(format!("engine.log.{number}"));
        fs::metadata(older).ok().map(|file| file.len())
    };
    let full = |round: u64| (10 << 20) + round;
    for round in 1..=3 {
        // As if it had been at work for months: a file with a hole costs no disk.
        let live = fs::OpenOptions::new().append(true).open(&log).unwrap();
        live.set_len(full(round)).unwrap();
        cockpit.act("quiet", "restart").await;
        assert_eq!(size(1), Some(full(round)), "{}", cockpit.log());
        assert!(fs::metadata(&log).unwrap().len() < 1 << 20);
        assert!(
            cockpit.log().contains("asked by a person"),
            "{}",
            cockpit.log()
        );
    }
    assert_eq!((size(2), size(3)), (Some(full(2)), None));
}
