//! Node programs: packages that depend on a server's framework and can be started, and Node
//! processes that listen on one of the usual ports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cockpit_model::PortHolder;
use cockpit_model::spec::Kind;
use cockpit_platform::command;
use serde::Deserialize;

use super::{Candidate, homely};
use crate::around::Surroundings;
use crate::detect::plan::quote;

/// What makes a package a server.
const SERVERS: [(&str, &str); 5] = [
    ("express", "Express"),
    ("fastify", "Fastify"),
    ("hono", "Hono"),
    ("koa", "Koa"),
    ("@nestjs/core", "Nest"),
];
/// What a program talks to, by what it depends on.
const USES: [(&str, Kind); 6] = [
    ("@supabase/supabase-js", Kind::Supabase),
    ("@supabase/ssr", Kind::Supabase),
    ("ollama", Kind::Ollama),
    ("pg", Kind::Postgres),
    ("postgres", Kind::Postgres),
    ("@prisma/client", Kind::Postgres),
];
/// Where Node servers listen by habit.
const PORTS: [u16; 10] = [3000, 3001, 3002, 3333, 4000, 5000, 8000, 8080, 8787, 8888];
/// More is not a plan but a list.
const MOST: usize = 6;
/// A source file beyond this is a bundle.
const LARGEST: u64 = 256 << 10;

#[derive(Deserialize)]
struct Package {
    name: Option<String>,
    main: Option<String>,
    #[serde(default)]
    scripts: BTreeMap<String, String>,
    #[serde(default)]
    dependencies: BTreeMap<String, serde_json::Value>,
}

/// A package that is a server.
struct Server {
    folder: PathBuf,
    name: String,
    framework: &'static str,
    command: Vec<String>,
    port: Option<u16>,
    uses: Vec<Kind>,
}

/// A Node process that listens.
struct Running {
    port: u16,
    holder: PortHolder,
    cwd: Option<PathBuf>,
    /// What it was started with, where the system tells word by word.
    words: Option<Vec<String>>,
}

pub(super) async fn all(around: &Surroundings, folders: Vec<PathBuf>) -> Vec<Candidate> {
    let mut running = listeners(around).await;
    let mut found = Vec::new();
    for server in folders.iter().filter_map(|folder| server(folder)) {
        let own = running
            .iter()
            .position(|r| r.cwd.as_deref() == Some(server.folder.as_path()))
            .map(|i| running.remove(i));
        found.push((own.is_none(), of_server(server, own, around)));
    }
    // Those that run first; among equals the newest stays first.
    found.sort_by_key(|(asleep, _)| *asleep);
    let mut all: Vec<Candidate> = found
        .into_iter()
        .take(MOST)
        .map(|(_, candidate)| candidate)
        .collect();
    all.extend(running.iter().filter_map(|r| of_process(r, around)));
    all
}

async fn listeners(around: &Surroundings) -> Vec<Running> {
    let mut running = Vec::new();
    for port in PORTS {
        let Some(holder) = around.holder(port).await else {
            continue;
        };
        if matches!(holder.name.as_str(), "node" | "MainThread" | "bun" | "deno") {
            let (cwd, words) = match holder.pid {
                Some(pid) => (cwd_of(pid, around).await, words_of(pid)),
                None => (None, None),
            };
            running.push(Running {
                port,
                holder,
                cwd,
                words,
            });
        }
    }
    running
}

/// The folder a process works in.
async fn cwd_of(pid: u32, around: &Surroundings) -> Option<PathBuf> {
    if cfg!(target_os = "linux") {
        return std::fs::read_link(format!("/proc/{pid}/cwd")).ok();
    }
    let env = around.env().await;
    let pid = pid.to_string();
    let args = ["-a", "-p", &pid, "-d", "cwd", "-F", "n"];
    let done = command::run_in("lsof", &args, &env, None, Duration::from_secs(2))
        .await
        .ok()?;
    let path = done
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix('n'))?;
    Some(PathBuf::from(path))
}

/// The words of a process's command. A Mac tells them only as one line, in which a blank may be anything.
fn words_of(pid: u32) -> Option<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = bytes
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty());
    words
        .map(|word| String::from_utf8(word.to_vec()).ok())
        .collect()
}

/// `["node", "server.js"]` of a program of Node's kind that was given a file and nothing else: more may be a secret, or
/// a command that starts another.
fn plain_command(words: &[String]) -> Option<Vec<String>> {
    let [program, entry] = words else { return None };
    let name = Path::new(program).file_name()?.to_str()?;
    let entry = entry_of(&format!("node {entry}"))?;
    matches!(name, "node" | "bun" | "deno").then(|| vec![name.to_owned(), entry])
}

fn server(folder: &Path) -> Option<Server> {
    let text = std::fs::read_to_string(folder.join("package.json")).ok()?;
    let package: Package = serde_json::from_str(&text).ok()?;
    let framework = SERVERS
        .iter()
        .find(|(dependency, _)| package.dependencies.contains_key(*dependency))?
        .1;
    let script = ["start", "dev"]
        .into_iter()
        .find(|script| package.scripts.contains_key(*script))?;
    let line = package.scripts.get(script)?;
    let entry = entry_of(line);
    // Without a package manager in between, a signal reaches the program itself.
    let command = match &entry {
        Some(entry) => vec!["node".to_owned(), entry.clone()],
        None => vec![
            manager(folder).to_owned(),
            "run".to_owned(),
            script.to_owned(),
        ],
    };
    let mut uses: Vec<Kind> = Vec::new();
    for (dependency, kind) in USES {
        if package.dependencies.contains_key(dependency) && !uses.contains(&kind) {
            uses.push(kind);
        }
    }
    Some(Server {
        name: package
            .name
            .filter(|name| !name.is_empty())
            .or_else(|| Some(folder.file_name()?.to_string_lossy().into_owned()))?,
        port: port_of(folder, entry.as_deref().or(package.main.as_deref())),
        folder: folder.to_path_buf(),
        framework,
        command,
        uses,
    })
}

/// `server.js` of `node server.js`; nothing of a line that does more.
fn entry_of(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (Some("node"), Some(entry), None) = (words.next(), words.next(), words.next()) else {
        return None;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    (!entry.starts_with('-') && entry.chars().all(plain)).then(|| entry.to_owned())
}

fn manager(folder: &Path) -> &'static str {
    let has = |file: &str| folder.join(file).exists();
    if has("pnpm-lock.yaml") {
        "pnpm"
    } else if has("yarn.lock") {
        "yarn"
    } else if has("bun.lockb") || has("bun.lock") {
        "bun"
    } else {
        "npm"
    }
}

/// The port it takes: `PORT` of its `.env`, else the number beside `PORT` in its entry file.
fn port_of(folder: &Path, entry: Option<&str>) -> Option<u16> {
    let read = |path: PathBuf| {
        let small = path.metadata().is_ok_and(|m| m.len() <= LARGEST);
        small.then(|| std::fs::read_to_string(path).ok()).flatten()
    };
    let from_env = read(folder.join(".env")).and_then(|text| {
        text.lines().find_map(|line| {
            let value = line.trim().strip_prefix("PORT=")?;
            value.trim_matches(['"', '\'']).parse().ok()
        })
    });
    from_env.or_else(|| {
        let text = read(folder.join(entry?))?;
        text.match_indices("PORT")
            .find_map(|(at, _)| first_number(text.get(at..)?))
    })
}

/// The first number in what follows, on the same line and not far.
fn first_number(text: &str) -> Option<u16> {
    let near: String = text.lines().next()?.chars().take(40).collect();
    near.split(|c: char| !c.is_ascii_digit())
        .find(|digits| digits.len() >= 4)
        .and_then(|digits| digits.parse().ok())
        .filter(|port| *port >= 1024)
}

fn of_server(server: Server, running: Option<Running>, around: &Surroundings) -> Candidate {
    let folder = homely(&server.folder, around);
    let port = running.as_ref().map(|r| r.port).or(server.port);
    let mut evidence = format!("{} in {folder} ({})", server.name, server.framework);
    if let Some(Running { port, holder, .. }) = &running {
        let pid = holder.pid.unwrap_or_default();
        evidence.push_str(&format!(", running (pid {pid}) on port {port}"));
    }
    let words: Vec<String> = server.command.iter().map(|word| quote(word)).collect();
    let mut lines = vec![
        format!("command = [{}]", words.join(", ")),
        format!("cwd = {}", quote(&folder)),
    ];
    match port {
        Some(port) => {
            lines.push(format!("listen = \"127.0.0.1:{port}\""));
            lines.push("env = { PORT = \"{port}\" }".to_owned());
        }
        None => lines.push(
            "# listen = \"127.0.0.1:3000\"    # its address: then it is probed, and can have replicas"
                .to_owned(),
        ),
    }
    if server.folder.join(".env").is_file() {
        lines.push("env_file = \".env\"".to_owned());
    }
    Candidate {
        wish: server.name,
        kind: Kind::Node,
        evidence,
        port,
        lines,
        uses: server.uses,
        doubt: None,
    }
}

/// A process that belongs to no package found. Where its command is not known, that is for a person to say.
fn of_process(running: &Running, around: &Surroundings) -> Option<Candidate> {
    let cwd = running.cwd.as_ref()?;
    let folder = homely(cwd, around);
    let pid = running.holder.pid.unwrap_or_default();
    let known = running.words.as_deref().and_then(plain_command);
    let usual = || vec!["node".to_owned(), "server.js".to_owned()];
    let words = known.clone().unwrap_or_else(usual);
    let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
    Some(Candidate {
        wish: cwd.file_name()?.to_string_lossy().into_owned(),
        kind: Kind::Node,
        evidence: format!(
            "{} (pid {pid}) on port {}, started in {folder}",
            running.holder.name, running.port
        ),
        port: Some(running.port),
        lines: vec![
            format!("command = [{}]", words.join(", ")),
            format!("cwd = {}", quote(&folder)),
            format!("listen = \"127.0.0.1:{}\"", running.port),
        ],
        uses: vec![],
        doubt: known
            .is_none()
            .then(|| "its command is not known: fill it in".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;

    fn package(text: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Option<Server>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("package.json"), text).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let server = server(folder.path());
        (folder, server)
    }

    #[test]
    fn an_express_api_with_its_port() {
        let (_folder, server) = package(
            r#"{"name":"@acme/api","scripts":{"start":"node server.js","dev":"nodemon"},
                "dependencies":{"express":"^5","pg":"8","@supabase/supabase-js":"2"}}"#,
            &[("server.js", "const port = process.env.PORT || 3100;\n")],
        );
        let server = server.unwrap();
        assert_eq!(server.command, ["node", "server.js"]);
        assert_eq!(server.port, Some(3100));
        assert_eq!(server.framework, "Express");
        assert_eq!(server.uses, [Kind::Supabase, Kind::Postgres]);
    }

    #[test]
    fn a_package_manager_where_the_script_does_more() {
        let (_folder, server) = package(
            r#"{"name":"x","scripts":{"dev":"tsx watch src/main.ts"},"dependencies":{"hono":"4"}}"#,
            &[("pnpm-lock.yaml", ""), (".env", "A=b\nPORT=\"4100\"\n")],
        );
        let server = server.unwrap();
        assert_eq!(server.command, ["pnpm", "run", "dev"]);
        assert_eq!(server.port, Some(4100));
    }

    #[test]
    fn a_library_is_no_server() {
        for text in [
            r#"{"name":"lib","scripts":{"start":"node x.js"},"dependencies":{"lodash":"4"}}"#,
            r#"{"name":"lib","scripts":{"test":"vitest"},"dependencies":{"express":"4"}}"#,
            "{",
            "[]",
        ] {
            assert!(package(text, &[]).1.is_none(), "{text}");
        }
    }

    #[test]
    fn only_a_plain_line_is_run_directly() {
        assert_eq!(entry_of("node src/server.mjs").unwrap(), "src/server.mjs");
        for line in [
            "node --watch x.js",
            "node x.js && y",
            "ts-node x",
            "node $X",
        ] {
            assert_eq!(entry_of(line), None, "{line}");
        }
    }

    #[test]
    fn a_process_is_taken_over_with_the_command_it_has() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let known = |line: &str| plain_command(&words(line));
        assert_eq!(
            known("/usr/bin/node server.js").unwrap(),
            ["node", "server.js"]
        );
        assert_eq!(known("bun src/main.ts").unwrap(), ["bun", "src/main.ts"]);
        for line in [
            "node",
            "node --watch",
            "node server.js --token=x",
            "python server.js",
            "node $(x)",
        ] {
            assert_eq!(known(line), None, "{line}");
        }
        let around = Surroundings::new(
            || futures_util::FutureExt::boxed(async { std::sync::Arc::default() }),
            |_| futures_util::FutureExt::boxed(async { None }),
            None,
        );
        let mut running = Running {
            port: 3000,
            holder: PortHolder {
                pid: Some(7),
                name: "node".to_owned(),
                owner: cockpit_model::Owner::Other,
                described: String::new(),
            },
            cwd: Some(PathBuf::from("/srv/shop")),
            words: Some(words("node app.mjs")),
        };
        let found = of_process(&running, &around).unwrap();
        assert_eq!(found.doubt, None);
        assert!(
            found
                .lines
                .contains(&"command = [\"node\", \"app.mjs\"]".to_owned())
        );
        running.words = None;
        assert!(of_process(&running, &around).unwrap().doubt.is_some());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_what_a_process_was_started_with() {
        let ours: Vec<String> = std::env::args().collect();
        assert_eq!(words_of(std::process::id()).unwrap(), ours);
    }

    #[test]
    fn numbers_beside_port() {
        assert_eq!(first_number("PORT ?? 8080)"), Some(8080));
        assert_eq!(first_number("PORT)\n3000"), None);
        assert_eq!(first_number("PORT || 80)"), None);
    }
}
