//! Looks for the programs themselves: on the `PATH`, on their ports, by their own answers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cockpit_model::spec::Kind;
use cockpit_platform::command;
use cockpit_platform::environment::find_program;
use serde_json::Value;

use super::{Candidate, homely};
use crate::around::{Env, Surroundings};
use crate::detect::plan::quote;
use crate::supabase::Project;
use crate::{docker, http};

const ASK: Duration = Duration::from_secs(2);
const OLLAMA_IN_APP: &str = "/Applications/Ollama.app/Contents/Resources/ollama";
const OLLAMA_PORT: u16 = 11434;
const POSTGRES_PORT: u16 = 5432;
const CLOUDFLARED_PORT: u16 = 20241;

/// `running (pid 812, Ollama.app)`; `None` when nobody listens there.
async fn running(around: &Surroundings, port: u16) -> Option<String> {
    let holder = around.holder(port).await?;
    Some(match holder.pid {
        Some(pid) => format!("running (pid {pid}, {})", holder.described),
        None => format!("running ({})", holder.described),
    })
}

pub(super) async fn ollama(around: &Surroundings, env: &Env) -> Option<Candidate> {
    let base = format!("http://127.0.0.1:{OLLAMA_PORT}");
    let running = running(around, OLLAMA_PORT).await;
    let version = match &running {
        Some(_) => http::get_json::<Value>(&format!("{base}/api/version"))
            .await
            .ok()
            .and_then(|v| Some(v.get("version")?.as_str()?.to_owned())),
        None => None,
    };
    let on_path = find_program("ollama", env);
    let in_app = Path::new(OLLAMA_IN_APP).is_file();
    if on_path.is_none() && !in_app && version.is_none() {
        return None;
    }
    let mut evidence = "Ollama".to_owned();
    if let Some(version) = &version {
        evidence.push_str(&format!(" {version}"));
    }
    let mut lines = vec![];
    match (&on_path, in_app) {
        (Some(path), _) => evidence.push_str(&format!(" at {}", path.display())),
        (None, true) => {
            evidence.push_str(" in Ollama.app");
            lines.push(format!("command = [{}, \"serve\"]", quote(OLLAMA_IN_APP)));
        }
        (None, false) => {}
    }
    evidence.push_str(&match running {
        Some(running) => format!(", {running}"),
        None => ", not running".to_owned(),
    });
    if version.is_some() {
        let loaded = http::get_json::<Value>(&format!("{base}/api/ps")).await;
        let models = names(&loaded.unwrap_or_default());
        if !models.is_empty() {
            lines.push(format!(
                "# models = [{}]    # loaded again after a restart",
                models
                    .iter()
                    .map(|m| quote(m))
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
    }
    lines.push(
        "# behind_gateway = true    # the gateway answers at its address: every request is accounted for"
            .to_owned(),
    );
    Some(Candidate {
        wish: "ollama".to_owned(),
        kind: Kind::Ollama,
        evidence,
        port: Some(OLLAMA_PORT),
        lines,
        uses: vec![],
        doubt: None,
    })
}

fn names(ps: &Value) -> Vec<String> {
    ps.get("models")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|model| Some(model.get("name")?.as_str()?.to_owned()))
        .collect()
}

/// Projects, those that run first; only one may have an address.
pub(super) async fn supabase(around: &Surroundings, folders: Vec<PathBuf>) -> Vec<Candidate> {
    let projects: Vec<Project> = folders
        .iter()
        .filter_map(|folder| Project::load(folder).ok())
        .collect();
    if projects.is_empty() {
        return vec![];
    }
    let engine = docker::connect(around).await.ok();
    let mut found = Vec::new();
    for project in projects {
        let containers = match &engine {
            Some(engine) => engine
                .labelled(&format!("com.supabase.cli.project={}", project.id))
                .await
                .unwrap_or_default(),
            None => vec![],
        };
        let runs = containers.iter().any(docker::Seen::runs);
        let folder = homely(&project.folder, around);
        let state = match (&engine, runs) {
            (None, _) => "Docker is not running",
            (Some(_), true) => "running",
            (Some(_), false) => "not running",
        };
        let mut lines = vec![format!("project = {}", quote(&folder))];
        if project.api_port != 54321 {
            lines.push(format!("listen = \"127.0.0.1:{}\"", project.api_port));
        }
        found.push((
            !runs,
            Candidate {
                wish: "supabase".to_owned(),
                kind: Kind::Supabase,
                evidence: format!("Supabase project {} in {folder}, {state}", project.id),
                port: Some(project.api_port),
                lines,
                uses: vec![],
                doubt: None,
            },
        ));
    }
    // Stable: among equals the newest stays first.
    found.sort_by_key(|(asleep, _)| *asleep);
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

pub(super) async fn postgres(around: &Surroundings) -> Option<Candidate> {
    let running = running(around, POSTGRES_PORT).await?;
    Some(Candidate {
        wish: "postgres".to_owned(),
        kind: Kind::Postgres,
        evidence: format!("PostgreSQL on port {POSTGRES_PORT}, {running}"),
        port: Some(POSTGRES_PORT),
        lines: vec![
            "# Without a command it is watched, not started. What is asked, with the password from a"
                .to_owned(),
            "# variable: database = \"postgres://USER:${PGPASSWORD}@127.0.0.1:5432/postgres\"".to_owned(),
        ],
        uses: vec![],
        doubt: None,
    })
}

pub(super) async fn cloudflared(around: &Surroundings, env: &Env) -> Option<Candidate> {
    let path = find_program("cloudflared", env)?;
    let config = around
        .home()
        .map(|home| home.join(".cloudflared/config.yml"))
        .filter(|file| file.is_file())
        .or_else(|| {
            Some(PathBuf::from("/etc/cloudflared/config.yml")).filter(|file| file.is_file())
        });
    let running = running(around, CLOUDFLARED_PORT).await;
    let mut evidence = format!("cloudflared at {}", path.display());
    if let Some(config) = &config {
        evidence.push_str(&format!(", configured by {}", homely(config, around)));
    }
    if let Some(running) = running {
        evidence.push_str(&format!(", {running}"));
    }
    Some(Candidate {
        wish: "tunnel".to_owned(),
        kind: Kind::Cloudflared,
        evidence,
        port: Some(CLOUDFLARED_PORT),
        lines: vec![],
        uses: vec![],
        doubt: config
            .is_none()
            .then(|| "no tunnel is configured yet: `cloudflared tunnel login`, `cloudflared tunnel create NAME`".to_owned()),
    })
}

pub(super) async fn tailscale(env: &Env) -> Option<Candidate> {
    let in_app = "/Applications/Tailscale.app/Contents/MacOS/Tailscale";
    let path = find_program("tailscale", env)
        .or_else(|| Some(PathBuf::from(in_app)).filter(|path| path.is_file()))?;
    let asked = command::run_in(
        &path.to_string_lossy(),
        &["status", "--json"],
        env,
        None,
        ASK,
    )
    .await
    .ok()
    .and_then(|done| serde_json::from_str::<Value>(&done.stdout).ok());
    let text = |status: &Value, pointer: &str| {
        status
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(|text| text.trim_end_matches('.').to_owned())
            .filter(|text| !text.is_empty())
    };
    let mut evidence = format!("Tailscale at {}", path.display());
    match &asked {
        Some(status) => {
            if let Some(state) = text(status, "/BackendState") {
                evidence.push_str(&format!(", state {state}"));
            }
            if let Some(name) = text(status, "/Self/DNSName") {
                evidence.push_str(&format!(", as {name}"));
            }
        }
        None => evidence.push_str(", its daemon does not answer"),
    }
    Some(Candidate {
        wish: "tailscale".to_owned(),
        kind: Kind::Tailscale,
        evidence,
        port: None,
        lines: vec![],
        uses: vec![],
        doubt: asked
            .is_none()
            .then(|| "its daemon does not answer".to_owned()),
    })
}
