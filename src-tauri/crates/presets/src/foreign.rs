//! The logs of what somebody else runs: found by who holds the service's port.
//!
//! Docker: the container that publishes the port. Ollama.app: its log file. `brew services`: the
//! formula's log file. systemd: the journal. launchd: the job's output files. Of a process in a
//! terminal there is nothing to read, and that is what the answer says.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cockpit_model::logs::{LogLine, LogQuery, Stream};
use cockpit_model::{Code, Owner, PortHolder, Problem, ServiceSpec, Timestamp};
use cockpit_platform::command;
use cockpit_platform::environment::find_program;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryFutureExt as _};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::around::{Env, Surroundings};
use crate::{docker, tail};

const LIMIT: Duration = Duration::from_secs(20);
/// Of the journal so many more lines are read when only some of them are wanted.
const GREP_DEPTH: usize = 50;

/// Where somebody else keeps the output.
enum Source {
    File(PathBuf),
    Journal { unit: String, user: bool },
    Container(u16),
}

/// The last lines of whoever holds the service's port.
///
/// # Errors
/// [`Code::NotSupported`] when there is nothing to read, and why.
pub async fn logs(
    spec: &ServiceSpec,
    around: &Surroundings,
    query: LogQuery,
) -> Result<Vec<LogLine>, Problem> {
    match source(spec, around).await? {
        Source::File(path) => {
            tail::tail(&path, &query)
                .map_err(|e| unreadable(&path, &e))
                .await
        }
        Source::Journal { unit, user } => {
            let env = around.env().await;
            journal(&unit, user, &env, &query).await
        }
        Source::Container(port) => {
            let docker = docker::connect(around).await?;
            let containers = docker.on_port(port).await?;
            docker.logs(&containers, &query).await
        }
    }
}

/// The same, then every further line.
///
/// # Errors
/// As of [`logs`].
pub async fn follow(
    spec: &ServiceSpec,
    around: &Surroundings,
    query: LogQuery,
) -> Result<BoxStream<'static, LogLine>, Problem> {
    match source(spec, around).await? {
        Source::File(path) => {
            tail::follow(path.clone(), query)
                .map_err(|e| unreadable(&path, &e))
                .await
        }
        Source::Journal { unit, user } => {
            let env = around.env().await;
            follow_journal(&unit, user, &env, query)
        }
        Source::Container(port) => {
            let docker = docker::connect(around).await?;
            let containers = docker.on_port(port).await?;
            Ok(docker.follow(&containers, query))
        }
    }
}

async fn source(spec: &ServiceSpec, around: &Surroundings) -> Result<Source, Problem> {
    let nothing = |detail: String| {
        Problem::new(
            Code::NotSupported,
            format!("there are no logs of {} to read", spec.name),
        )
        .detail(detail)
    };
    let Some(port) = spec.listen_port() else {
        return Err(nothing("it has no address to find its process by".into()));
    };
    let Some(holder) = around.holder(port).await else {
        return Err(nothing(format!("nobody listens on port {port}")));
    };
    let home = around.home().map(PathBuf::as_path);
    match holder.owner {
        Owner::Docker => Ok(Source::Container(port)),
        Owner::OllamaApp => home
            .map(|home| Source::File(home.join(".ollama/logs/server.log")))
            .ok_or_else(|| nothing("there is no home folder".into())),
        Owner::Homebrew => brew_log(&holder.described, &["/opt/homebrew", "/usr/local"])
            .map(Source::File)
            .ok_or_else(|| nothing(format!("{} writes no log file", holder.described))),
        Owner::Systemd => {
            let (unit, user) = unit_of(&holder.described);
            Ok(Source::Journal { unit, user })
        }
        Owner::Launchd => launchd_log(&holder, around)
            .await
            .map(Source::File)
            .ok_or_else(|| nothing(format!("the job {} writes no file", holder.described))),
        Owner::Cockpit | Owner::Remote | Owner::Other => Err(nothing(format!(
            "{} was not started by this cockpit; its output went where it was started",
            holder.described
        ))),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        Code::Storage,
        format!("the log {} cannot be read", path.display()),
    )
    .detail(error.to_string())
}

/// `homebrew.mxcl.postgresql@16` writes to `var/log/postgresql@16.log` under Homebrew's prefix.
fn brew_log(described: &str, prefixes: &[&str]) -> Option<PathBuf> {
    let formula = described.strip_prefix("homebrew.mxcl.")?;
    if formula.contains('/') {
        return None;
    }
    prefixes
        .iter()
        .map(|prefix| Path::new(prefix).join(format!("var/log/{formula}.log")))
        .find(|path| path.is_file())
}

/// `api.service (user)` is the person's own manager's.
fn unit_of(described: &str) -> (String, bool) {
    match described.strip_suffix(" (user)") {
        Some(unit) => (unit.to_owned(), true),
        None => (described.to_owned(), false),
    }
}

async fn launchd_log(holder: &PortHolder, around: &Surroundings) -> Option<PathBuf> {
    // The domain is named by our user, who owns the home folder.
    let uid = around.home()?.metadata().ok()?.uid();
    let job = format!("gui/{uid}/{}", holder.described);
    let env = around.env().await;
    let done = command::run_in("launchctl", &["print", &job], &env, None, LIMIT)
        .await
        .ok()?;
    output_path(&done.stdout)
}

/// The job's output file, its error file if there is no other.
fn output_path(printed: &str) -> Option<PathBuf> {
    let of = |key: &str| {
        printed.lines().find_map(|line| {
            let (name, path) = line.trim().split_once(" = ")?;
            (name == key && path.starts_with('/') && path != "/dev/null")
                .then(|| PathBuf::from(path))
        })
    };
    of("stdout path").or_else(|| of("stderr path"))
}

fn journal_args(unit: &str, user: bool, lines: usize, follow: bool) -> Vec<String> {
    let mut args = vec![];
    if user {
        args.push("--user".to_owned());
    }
    args.extend([
        format!("--unit={unit}"),
        format!("--lines={lines}"),
        "--output=json".to_owned(),
        "--no-pager".to_owned(),
        "--quiet".to_owned(),
    ]);
    if follow {
        args.push("--follow".to_owned());
    }
    args
}

fn depth(query: &LogQuery) -> usize {
    let more = if query.grep.is_some() { GREP_DEPTH } else { 1 };
    query.tail.saturating_mul(more).min(100_000)
}

async fn journal(
    unit: &str,
    user: bool,
    env: &Env,
    query: &LogQuery,
) -> Result<Vec<LogLine>, Problem> {
    let args = journal_args(unit, user, depth(query), false);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let failed = |detail: String| {
        Problem::new(
            Code::ActionFailed,
            format!("the journal of {unit} cannot be read"),
        )
        .detail(detail)
    };
    let done = command::run_in("journalctl", &args, env, None, LIMIT)
        .await
        .map_err(|e| failed(e.to_string()))?;
    if !done.ok {
        return Err(failed(done.complaint()));
    }
    let mut lines: Vec<LogLine> = done
        .stdout
        .lines()
        .filter_map(journal_line)
        .filter(|line| tail::wanted(query, &line.text))
        .collect();
    let surplus = lines.len().saturating_sub(query.tail);
    lines.drain(..surplus);
    Ok(lines)
}

fn follow_journal(
    unit: &str,
    user: bool,
    env: &Env,
    query: LogQuery,
) -> Result<BoxStream<'static, LogLine>, Problem> {
    let failed = |detail: String| {
        Problem::new(
            Code::ActionFailed,
            format!("the journal of {unit} cannot be followed"),
        )
        .detail(detail)
    };
    let program = find_program("journalctl", env)
        .ok_or_else(|| failed("journalctl is not on this machine".into()))?;
    let args = journal_args(unit, user, query.tail, true);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut child = command::prepare(&program, &args, env, None)
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| failed("it has no output".into()))?;
    let lines = BufReader::new(stdout).lines();
    // The child is part of the stream's state, and so ends with it.
    let stream = futures_util::stream::unfold((lines, child), |(mut lines, child)| async move {
        let line = lines.next_line().await.ok().flatten()?;
        Some((journal_line(&line), (lines, child)))
    });
    Ok(stream
        .filter_map(futures_util::future::ready)
        .filter(move |line| futures_util::future::ready(tail::wanted(&query, &line.text)))
        .boxed())
}

/// One entry of `journalctl --output=json`.
fn journal_line(json: &str) -> Option<LogLine> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Message {
        Text(String),
        /// What is no UTF-8 comes as bytes.
        Bytes(Vec<u8>),
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(rename = "__REALTIME_TIMESTAMP")]
        micros: String,
        #[serde(rename = "MESSAGE")]
        message: Message,
        #[serde(rename = "PRIORITY")]
        priority: Option<String>,
    }
    let entry: Entry = serde_json::from_str(json).ok()?;
    let text = match entry.message {
        Message::Text(text) => text,
        Message::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let worse = entry
        .priority
        .and_then(|p| p.parse::<u8>().ok())
        .is_some_and(|p| p <= 4);
    Some(LogLine {
        at: Timestamp::from_microsecond(entry.micros.parse().ok()?).ok()?,
        instance: 0,
        stream: if worse {
            Stream::Stderr
        } else {
            Stream::Stdout
        },
        text,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use crate::around::doubles::{around, spec};
    use cockpit_model::spec::Kind;

    const ALL: LogQuery = LogQuery {
        tail: 10,
        grep: None,
        instance: None,
    };

    #[tokio::test]
    async fn ollama_app_keeps_a_file() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(".ollama/logs")).unwrap();
        std::fs::write(home.path().join(".ollama/logs/server.log"), "up\n").unwrap();
        let mut ollama = spec("ollama", Kind::Ollama);
        ollama.listen = Some("127.0.0.1:11434".into());
        let here = around(Some(home.path().into()), Some(Owner::OllamaApp));
        let lines = logs(&ollama, &here, ALL).await.unwrap();
        assert_eq!(lines.first().unwrap().text, "up");
    }

    #[tokio::test]
    async fn a_terminal_keeps_nothing_and_says_so() {
        let mut node = spec("api", Kind::Node);
        node.listen = Some("127.0.0.1:3000".into());
        let here = around(None, Some(Owner::Other));
        let problem = logs(&node, &here, ALL).await.unwrap_err();
        assert_eq!(problem.code, Code::NotSupported);
        assert!(
            problem
                .detail
                .unwrap()
                .contains("not started by this cockpit")
        );
        let problem = logs(&node, &around(None, None), ALL).await.unwrap_err();
        assert!(problem.detail.unwrap().contains("nobody listens"));
    }

    #[test]
    fn files_of_homebrew_and_launchd() {
        let prefix = tempfile::tempdir().unwrap();
        let folder = prefix.path().join("var/log");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("postgresql@16.log"), "").unwrap();
        let prefix = prefix.path().to_str().unwrap();
        assert_eq!(
            brew_log("homebrew.mxcl.postgresql@16", &[prefix]).unwrap(),
            folder.join("postgresql@16.log")
        );
        assert_eq!(brew_log("homebrew.mxcl.redis", &[prefix]), None);
        assert_eq!(brew_log("homebrew.mxcl.../../x", &[prefix]), None);
        let printed = "gui/501/com.x = {\n\tpid = 7\n\tstdout path = /tmp/x.log\n\tstderr path = /tmp/x.err\n}";
        assert_eq!(output_path(printed).unwrap(), Path::new("/tmp/x.log"));
        assert_eq!(output_path("stdout path = /dev/null"), None);
    }

    #[test]
    fn entries_of_the_journal() {
        let line = journal_line(
            r#"{"__REALTIME_TIMESTAMP":"1772528047000000","MESSAGE":"Listening","PRIORITY":"6","_PID":"1"}"#,
        )
        .unwrap();
        assert_eq!(line.text, "Listening");
        assert_eq!(line.stream, Stream::Stdout);
        assert_eq!(line.at.to_string(), "2026-03-03T08:54:07Z");
        let bytes =
            journal_line(r#"{"__REALTIME_TIMESTAMP":"1","MESSAGE":[104,105,255],"PRIORITY":"3"}"#)
                .unwrap();
        assert_eq!(bytes.text, "hi\u{fffd}");
        assert_eq!(bytes.stream, Stream::Stderr);
        assert_eq!(journal_line("-- No entries --"), None);
    }

    #[test]
    fn units_of_both_managers() {
        assert_eq!(unit_of("ollama.service"), ("ollama.service".into(), false));
        assert_eq!(unit_of("api.service (user)"), ("api.service".into(), true));
    }
}
