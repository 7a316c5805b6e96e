#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]
//! A Supabase project on a real Docker engine: real containers with the CLI's labels, brought up and
//! down by a stand-in of the CLI, with its API and its database answered by the test itself.

mod database;
mod docker;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::routing::get;
use cockpit_config::{Origin, Unchecked};
use cockpit_model::logs::{LogQuery, Stream};
use cockpit_model::{Code, Owner, ServiceSpec};
use cockpit_presets::{Observation, Preset, Surroundings, preset_for};
use docker::Dockerd;
use futures_util::{FutureExt as _, StreamExt as _};

/// What a service that is well takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn around(env: &[(String, String)], path: Option<&Path>) -> Surroundings {
    let mut env: BTreeMap<String, String> = env.iter().cloned().collect();
    if let (Some(path), Some(old)) = (path, env.get("PATH")) {
        let new = format!("{}:{old}", path.display());
        env.insert("PATH".into(), new);
    }
    let env = Arc::new(env);
    Surroundings::new(
        move || futures_util::future::ready(Arc::clone(&env)).boxed(),
        |_| futures_util::future::ready(None).boxed(),
        None,
    )
}

/// The service as the configuration makes it.
fn spec(project: &Path) -> ServiceSpec {
    let text = format!(
        "[services.supabase]\nkind = \"supabase\"\nproject = \"{}\"\n",
        project.display()
    );
    let origin = Origin {
        file: Path::new("/x/cockpit.toml"),
        home: Path::new("/x"),
        files: &Unchecked,
    };
    let config = cockpit_config::parse(&text, &origin).unwrap();
    config.services.into_iter().next().unwrap()
}

/// The project's API as Kong serves it: nothing without the key.
async fn serve_api() -> u16 {
    let answer = |headers: HeaderMap| async move {
        if headers.get("apikey").is_some_and(|key| key == "anon") {
            (StatusCode::OK, [("x-kong-upstream-latency", "1")])
        } else {
            (StatusCode::UNAUTHORIZED, [("x-kong-response-latency", "0")])
        }
    };
    let app = Router::new()
        .route("/auth/v1/health", get(answer))
        .route("/rest/v1/", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

fn query(tail: usize, grep: Option<&str>) -> LogQuery {
    LogQuery {
        tail,
        grep: grep.map(str::to_owned),
        instance: None,
    }
}

fn cause(seen: &Observation) -> &str {
    seen.ready.as_ref().unwrap().as_ref().unwrap_err()
}

#[tokio::test]
async fn a_project_from_nothing_through_a_death_to_nothing() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(mut dockerd) = Dockerd::start().await else {
        return;
    };
    let project = dockerd.folder().join("shop");
    std::fs::create_dir_all(project.join("supabase")).unwrap();
    let (api, database) = (serve_api().await, database::serve().await);
    std::fs::write(
        project.join("supabase/config.toml"),
        format!("project_id = \"shop\"\n[api]\nport = {api}\n[db]\nport = {database}\n"),
    )
    .unwrap();
    let bin = dockerd.folder().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("supabase"), include_str!("cli.sh")).unwrap();
    std::fs::set_permissions(bin.join("supabase"), PermissionsExt::from_mode(0o755)).unwrap();
    let cli_log = dockerd.folder().join("cli.log");
    let mut env = dockerd.env();
    env.push(("CLI_LOG".into(), cli_log.display().to_string()));
    let spec = spec(&project);
    let preset = preset_for(&spec, &around(&env, Some(&bin))).unwrap();

    let seen = preset.inspect().await;
    assert_eq!(seen.owner, Some(Owner::Docker));
    assert_eq!(seen.version.as_deref(), Some("CLI 3.1.0"));
    assert!(cause(&seen).starts_with("it is not started"));

    preset.up().await.unwrap();
    let seen = preset.inspect().await;
    assert_eq!(seen.ready, Some(Ok(())), "{seen:?}");
    let detail = seen.detail.unwrap();
    let names: Vec<&str> = detail.containers.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "supabase_auth_shop",
            "supabase_db_shop",
            "supabase_kong_shop",
            "supabase_rest_shop"
        ]
    );
    for container in &detail.containers {
        assert_eq!(container.state, "running");
        assert!(container.started_at.is_some() && container.exit_code.is_none());
    }
    let checks: Vec<_> = detail
        .checks
        .iter()
        .map(|c| (c.name.as_str(), c.ok, c.latency_ms.is_some()))
        .collect();
    assert_eq!(
        checks,
        [
            ("auth", Some(true), true),
            ("rest", Some(true), true),
            ("database", Some(true), true)
        ]
    );

    logs(preset.as_ref(), &dockerd).await;

    dockerd.docker(&["kill", "supabase_db_shop"]);
    let seen = preset.inspect().await;
    assert_eq!(
        cause(&seen),
        "supabase_db_shop exited with 137, while the CLI counts the project as running"
    );
    let detail = seen.detail.unwrap();
    assert!(detail.remedy.unwrap().contains("supabase stop"));
    let dead = detail.containers.iter().find(|c| c.state == "exited");
    assert_eq!(dead.unwrap().exit_code, Some(137));

    std::fs::remove_file(&cli_log).unwrap();
    preset.up().await.unwrap();
    let asked = std::fs::read_to_string(&cli_log).unwrap();
    assert_eq!(asked, "stop\nstart\n", "a start alone would change nothing");
    assert_eq!(preset.inspect().await.ready, Some(Ok(())));

    // What a start leaves that was broken off.
    dockerd.docker(&["rm", "-f", "supabase_rest_shop"]);
    std::fs::remove_file(&cli_log).unwrap();
    preset.up().await.unwrap();
    let asked = std::fs::read_to_string(&cli_log).unwrap();
    assert_eq!(asked, "stop\nstart\n");

    preset.down().await.unwrap();
    assert_eq!(dockerd.docker(&["ps", "-aq"]), "");
    preset.down().await.unwrap();

    let bare = preset_for(&spec, &around(&dockerd.env(), None)).unwrap();
    let problem = bare.up().await.unwrap_err();
    assert_eq!(problem.code, Code::CommandMissing);
    assert!(problem.remedy.unwrap().contains("install it"));

    dockerd.end();
    let seen = preset.inspect().await;
    assert!(cause(&seen).starts_with("Docker is not running"));
    assert!(seen.detail.unwrap().remedy.unwrap().contains("start it"));
    let problem = preset.up().await.unwrap_err();
    assert_eq!(problem.code, Code::DockerNotRunning);
}

async fn logs(preset: &dyn Preset, dockerd: &Dockerd) {
    let all = tokio::time::timeout(PATIENCE, async {
        // A container runs before its output is written.
        loop {
            let lines = preset.logs(query(100, None)).await.unwrap();
            if lines.len() == 8 {
                return lines;
            }
        }
    });
    let lines = all.await.unwrap();
    assert!(lines.windows(2).all(|two| two[0].at <= two[1].at));
    let db = lines.iter().find(|l| l.text == "db | hello from db");
    assert_eq!(db.unwrap().stream, Stream::Stdout);
    let errors = preset.logs(query(100, Some("CAREFUL"))).await.unwrap();
    assert_eq!(errors.len(), 4);
    assert!(errors.iter().all(|line| line.stream == Stream::Stderr));
    assert_eq!(preset.logs(query(3, None)).await.unwrap(), lines[5..]);

    let mut live = preset.follow(query(0, None)).await.unwrap();
    let tick = async {
        // The first may come before the stream stands: told again until it is seen.
        loop {
            dockerd.docker(&["kill", "-s", "USR1", "supabase_rest_shop"]);
            let next = tokio::time::timeout(Duration::from_millis(500), live.next()).await;
            if let Ok(line) = next {
                return line.unwrap();
            }
        }
    };
    let line = tokio::time::timeout(PATIENCE, tick).await.unwrap();
    assert_eq!(line.text, "rest | tick");
}

#[tokio::test]
async fn a_folder_without_a_project_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let preset = preset_for(&spec(folder.path()), &around(&[], None)).unwrap();
    let problem = preset.up().await.unwrap_err();
    assert!(problem.title.starts_with("there is no Supabase project in"));
    let seen = preset.inspect().await;
    assert!(cause(&seen).starts_with("there is no Supabase project in"));
    assert!(seen.detail.unwrap().remedy.is_some());
}
