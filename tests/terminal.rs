//! What a person meets in a terminal: where the engine is, and where else to look for one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use support::{Cockpit, exe, told};
use tokio::process::Command;

const SLEEPER: &str = "[services.sleeper]\ncommand = [\"sleep\", \"100000\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_cockpit_is_told_of_the_demo_that_runs() {
    let person = tempfile::tempdir().unwrap();
    let demo = person.path().join("demo");
    let status = async || {
        let mut command = Command::new(exe());
        command
            .arg("status")
            .env("STUDIO_COCKPIT_DATA_DIR", person.path());
        told(command).await
    };
    let (code, _, error) = status().await;
    assert_eq!(code, 3);
    assert!(!error.contains("demo"), "{error}");

    let cockpit = Cockpit::start(SLEEPER).await;
    std::os::unix::fs::symlink(cockpit.data(), &demo).unwrap();
    let (code, _, error) = status().await;
    assert_eq!(code, 3, "the person's own does not run");
    let shown = format!("status --data-dir '{}'", demo.display());
    assert!(error.contains(&shown), "{error}");
}

/// Runs an engine on a terminal until it has said so many lines; what it said, after it was ended by Ctrl-C.
async fn greeting(args: &[&str], data: &Path, lines: usize) -> String {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let terminal = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let mut engine = Command::new(exe())
        .args(args)
        .arg("--data-dir")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(terminal)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let said = tokio::task::spawn_blocking(move || {
        let said = BufReader::new(File::from(ours)).lines();
        said.take(lines).collect::<Result<Vec<_>, _>>().unwrap()
    });
    let said = tokio::time::timeout(support::PATIENCE, said)
        .await
        .expect("it greets")
        .unwrap()
        .join("\n");
    let file = fs::read_to_string(data.join("engine.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&file).unwrap();
    let address = format!("http://{}", file["listen"].as_str().unwrap());
    assert!(said.contains(&address), "{said}");
    let pid = rustix::process::Pid::from_raw(i32::try_from(engine.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(engine.wait().await.unwrap().success());
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_says_on_a_terminal_where_it_is_and_what_ends_with_it() {
    let cockpit = Cockpit::new(SLEEPER);
    let said = greeting(&["serve", "--stop-services"], cockpit.data(), 3).await;
    assert!(said.contains("the services end with it"), "{said}");
    let said = greeting(&["serve"], cockpit.data(), 3).await;
    assert!(said.contains("the services go on"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_the_demo_without_its_window() {
    // Its folder sees to it that nothing of it is left.
    let cockpit = Cockpit::new("");
    let said = greeting(&["demo", "--no-window"], cockpit.data(), 3).await;
    assert!(said.contains("the services end with it"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_where_the_screen_is() {
    let cockpit = Cockpit::start(SLEEPER).await;
    let file = fs::read_to_string(cockpit.data().join("engine.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&file).unwrap();
    let (code, said, error) = cockpit.verb(&["status"]).await;
    assert_eq!(code, 0, "{error}");
    let address = format!("http://{},", file["listen"].as_str().unwrap());
    assert!(said.contains(&address), "{said}");
}

/// On a Mac there is always a display.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_a_display_it_says_what_to_do_instead() {
    let mut command = Command::new(exe());
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let (code, _, error) = told(command).await;
    assert_eq!(code, 1, "{error}");
    for part in [
        "there is no display",
        "`studio-cockpit serve`",
        "`studio-cockpit open --print-url`",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn check_says_what_this_machine_lacks_and_holds_all_the_same() {
    let cockpit = Cockpit::new(
        r#"
[services.api]
command = ["no-such-program-here", "x"]
[providers.openai]
kind = "openai"
api_key = { env = "NO_SUCH_VARIABLE_HERE" }
[prices]
"#,
    );
    let (code, said, error) = cockpit.verb(&["check"]).await;
    assert_eq!(code, 0, "{error}");
    for part in [
        "warning: `services.api` runs `no-such-program-here`",
        "warning: `providers.openai.api_key` comes from the environment variable NO_SUCH_VARIABLE_HERE",
        "Prices from https://",
    ] {
        assert!(said.contains(part), "{said}");
    }
}
