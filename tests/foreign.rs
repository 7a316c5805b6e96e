//! What is not ours: a program that already serves what a service wants is shown with its true owner,
//! is never touched unasked, and ends in its owner's way when a person asks for it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cockpit_model::service::Owner;
use cockpit_model::{Action, Code, InstanceState};
use serde_json::{Value, json};
use support::{Cockpit, Foreign, PATIENCE, exe, free_port, is_alive, pid, script};

fn ollama(port: u16) -> String {
    format!(
        r#"
[services.ollama]
kind = "ollama"
command = ["{exe}", "simulate", "ollama", "--port", "{{port}}"]
listen = "127.0.0.1:{port}"
ready = {{ every = "200ms" }}
"#,
        exe = exe().display()
    )
}

async fn version(port: u16) -> Value {
    let url = format!("http://127.0.0.1:{port}/api/version");
    let answer = reqwest::get(url).await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_ollama_is_shown_and_used_and_taken_over_only_when_asked_for() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let port = free_port();
    let mut theirs = Foreign::start("ollama", "ollama", port).await;
    let mut cockpit = Cockpit::start(&ollama(port)).await;

    let service = cockpit.wait_ready("ollama").await;
    assert_eq!(service.owner, Owner::Other, "{service:?}");
    let owner = service.owner_detail.clone().unwrap_or_default();
    assert!(owner.contains("ollama"), "{owner}");
    assert!(owner.contains(&theirs.pid.to_string()), "{owner}");
    assert_eq!(service.actions, [Action::TakeOver]);
    assert_eq!(pid(&service), theirs.pid);

    // Declined: whatever else is asked of the service, its process is not touched.
    for action in ["stop", "restart"] {
        let (code, out, error) = cockpit.verb(&[action, "ollama"]).await;
        assert_eq!(code, 1, "{action}: {out}{error}");
        assert!(error.contains("→"), "{action} says what to do: {error}");
        let path = format!("/api/services/ollama/{action}");
        let refused = cockpit.client().post::<Value>(&path, &json!({})).await;
        assert_eq!(refused.unwrap_err().code, Code::NotOurs, "{action}");
    }
    let (code, _, error) = cockpit.verb(&["stop", "--all"]).await;
    assert_eq!(code, 0, "{error}");
    cockpit.terminate_engine().await;
    assert!(
        theirs.child.try_wait().unwrap().is_none(),
        "it was ended unasked"
    );
    cockpit.serve_with(&["--stop-services"]).await;
    let service = cockpit.wait_ready("ollama").await;
    assert_eq!((service.owner, pid(&service)), (Owner::Other, theirs.pid));
    cockpit.terminate_engine().await;
    assert!(
        theirs.child.try_wait().unwrap().is_none(),
        "it was ended unasked"
    );
    assert!(version(port).await["version"].is_string());

    // Accepted.
    cockpit.serve().await;
    cockpit.wait_ready("ollama").await;
    let ours = cockpit.act("ollama", "take_over").await;
    assert_eq!(ours.owner, Owner::Cockpit, "{ours:?}");
    assert_eq!(ours.state, InstanceState::Ready, "{ours:?}");
    assert_eq!(ours.actions, [Action::Stop, Action::Restart]);
    let ended = tokio::time::timeout(PATIENCE, theirs.child.wait()).await;
    // A SIGTERM, which it answers by ending properly, and no SIGKILL.
    assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    let first = pid(&ours);
    assert_ne!(first, theirs.pid);
    assert!(
        cockpit.family().contains(&first),
        "it is under a shim of ours"
    );
    assert!(version(port).await["version"].is_string());

    // From now on it is ours to bring back, and ours to stop.
    support::signal(first, rustix::process::Signal::KILL);
    let second = pid(&cockpit.wait_successor("ollama", first).await);
    let stopped = cockpit.act("ollama", "stop").await;
    assert_eq!(stopped.state, InstanceState::Stopped);
    assert!(!is_alive(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_on_the_port_is_named_and_can_be_taken_over_too() {
    let port = free_port();
    let mut theirs = Foreign::start("squatter", "http", port).await;
    let cockpit = Cockpit::start(&ollama(port)).await;
    let held = cockpit
        .wait_for("ollama", "kept out", |s| {
            s.state == InstanceState::BackingOff
        })
        .await;
    assert!(held.cause.contains("squatter"), "{}", held.cause);
    assert!(
        held.cause.contains(&theirs.pid.to_string()),
        "{}",
        held.cause
    );
    assert!(
        held.actions.contains(&Action::TakeOver),
        "{:?}",
        held.actions
    );
    assert!(theirs.child.try_wait().unwrap().is_none());
    let ours = cockpit.act("ollama", "take_over").await;
    assert_eq!(
        (ours.owner, ours.state),
        (Owner::Cockpit, InstanceState::Ready)
    );
    let ended = tokio::time::timeout(PATIENCE, theirs.child.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(0));
}

/// A home folder with a Node API in it, and a PATH with stand-ins for programs.
fn home(programs: &[&str]) -> (tempfile::TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("bin");
    let api = home.path().join("code/shop-api");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&api).unwrap();
    for name in programs {
        script(&bin.join(name), "exit 0");
    }
    let package = json!({
        "name": "shop-api",
        "scripts": { "start": "node server.js" },
        "dependencies": { "express": "5" },
    });
    fs::write(api.join("package.json"), package.to_string()).unwrap();
    fs::write(api.join("server.js"), "require('express')().listen(3999)").unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    (home, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn init_writes_what_it_found_and_never_over_a_file_that_is_there() {
    let (home, path) = home(&["ollama", "cloudflared", "node"]);
    let cockpit = Cockpit::new("");
    let file = home.path().join("new/cockpit.toml");
    let name = file.display().to_string();
    let env = [
        ("HOME", home.path().to_str().unwrap()),
        ("PATH", path.as_str()),
        ("SHELL", "/bin/false"),
    ];

    let (code, printed, error) = cockpit.verb_with(&["init", "--config", &name], &env).await;
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("Nothing was written"), "{error}");
    assert!(!file.exists());
    for part in ["[services.ollama]", "[services.shop-api]"] {
        assert!(printed.contains(part), "{part}: {printed}{error}");
    }

    let (code, out, error) = cockpit
        .verb_with(&["init", "--write", "--config", &name], &env)
        .await;
    assert_eq!(code, 0, "{error}");
    assert!(out.contains(&name), "{out}");
    assert_eq!(fs::read_to_string(&file).unwrap(), printed);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let (code, plan, error) = cockpit.verb_with(&["check", "--config", &name], &env).await;
    assert_eq!(code, 0, "what init writes holds: {error}");
    assert!(
        plan.contains("ollama") && plan.contains("shop-api"),
        "{plan}"
    );

    let mine = format!("# mine\n{printed}");
    fs::write(&file, &mine).unwrap();
    let (code, out, error) = cockpit
        .verb_with(&["init", "--write", "--config", &name], &env)
        .await;
    assert_eq!((code, out.as_str()), (1, ""), "{error}");
    for word in [
        "there is a configuration already",
        &name,
        "nothing was overwritten",
    ] {
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), mine);
    assert_eq!(names(file.parent().unwrap()), ["cockpit.toml"]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
