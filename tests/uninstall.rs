//! Uninstalling: nothing of ours runs on, whatever became of the engines and the configurations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use studio_cockpit::cli::client::Client;
use support::{Cockpit, PATIENCE, exe, is_alive, pid, processes};
use tokio::process::Command;

const SLEEPER: &str = "[services.sleeper]\ncommand = [\"sleep\", \"100000\"]\n";

async fn uninstall(data: &Path) -> String {
    // A home of its own: the login item of whoever runs this is not ours to remove.
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(exe())
        .args(["uninstall", "--yes", "--delete-data", "--data-dir"])
        .arg(data)
        .env("HOME", home.path())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{err}");
    text
}

/// What runs from this data folder, the demo's in it included.
fn left(data: &Path) -> Vec<u32> {
    processes(|proc| fs::read_link(proc.join("exe")).is_ok_and(|exe| exe.starts_with(data)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_goes_with_the_rest() {
    let own = Cockpit::start(SLEEPER).await;
    let ours = pid(&own.wait_ready("sleeper").await);
    let demo = own.data().join("demo");
    fs::create_dir(&demo).unwrap();
    fs::copy(own.config_path(), demo.join("cockpit.toml")).unwrap();
    let mut engine = Command::new(exe())
        .args(["serve", "--data-dir"])
        .arg(&demo)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let client = Client::new(demo.join("engine.sock"));
    let deadline = Instant::now() + PATIENCE;
    while client.get_bytes("/readyz").await.is_err() {
        assert!(Instant::now() < deadline, "the engine did not open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let body = serde_json::json!({});
    let started = client.post("/api/services/sleeper/start", &body).await;
    let theirs = pid(&started.unwrap());
    let told = uninstall(own.data()).await;
    assert!(told.contains("the demo's engine ended"), "{told}");
    assert!(engine.wait().await.unwrap().success());
    assert!(![ours, theirs].into_iter().any(is_alive));
    assert!(left(own.data()).is_empty());
    assert!(!own.data().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn services_end_whose_engine_is_dead_and_whose_configuration_is_broken() {
    let mut own = Cockpit::start(SLEEPER).await;
    let service = pid(&own.wait_ready("sleeper").await);
    own.kill_engine().await;
    own.write_config("this is = = not TOML");
    uninstall(own.data()).await;
    assert!(!is_alive(service));
    assert!(left(own.data()).is_empty());
    assert!(!own.data().exists());
}
