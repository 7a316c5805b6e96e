//! Running a tool and reading its answer, within a time limit.
//!
//! [`run`] asks one of the system's own tools, by this process's `PATH`. [`run_in`] asks a tool of
//! the person's (`supabase`, `node`, `tailscale`), in an environment that is given to it whole, and
//! ends what that tool started along with it.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;
use tokio::process::{Child, Command};

use crate::environment::find_program;

/// A boxed future, so that [`Runner`] can be a trait object.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<Output, RunError>> + Send + 'a>>;

/// Who runs the tools: the system, or a double in a test.
pub(crate) trait Runner: Send + Sync {
    /// Runs `program` to its end.
    fn run<'a>(&'a self, program: &'a str, args: &'a [&'a str], limit: Duration) -> Answer<'a>;
}

/// The system itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct System;

impl Runner for System {
    fn run<'a>(&'a self, program: &'a str, args: &'a [&'a str], limit: Duration) -> Answer<'a> {
        Box::pin(run(program, args, limit))
    }
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Whether it exited with 0.
    pub ok: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// What to show of a failure: the last few lines of its error output, else of its output, as one.
    pub fn complaint(&self) -> String {
        let text = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let from = lines.len().saturating_sub(5);
        lines.get(from..).unwrap_or_default().join("; ")
    }
}

/// Why a tool gave no answer.
#[derive(Debug, Error)]
pub enum RunError {
    /// It is not on the `PATH`.
    #[error("`{0}` is not on this machine")]
    Missing(String),
    /// It did not finish in time and was killed.
    #[error("`{program}` did not finish within {} s", limit.as_secs_f32())]
    TimedOut {
        /// Which.
        program: String,
        /// How long it had.
        limit: Duration,
    },
    /// It could not be run.
    #[error("`{program}` could not be run: {source}")]
    Io {
        /// Which.
        program: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Runs one of the system's tools to its end; killed when the limit passes or the future is dropped.
pub(crate) async fn run(program: &str, args: &[&str], limit: Duration) -> Result<Output, RunError> {
    let mut command = Command::new(program);
    piped(&mut command, args).kill_on_drop(true);
    let child = command.spawn().map_err(|e| not_run(program, e))?;
    wait(program, child, limit).await
}

/// Runs a tool to its end, found on the `PATH` of `env` (a name with a slash is taken as it is), in
/// that environment only. When the limit passes, or the future is dropped, it is killed with
/// everything in its process group.
///
/// # Errors
///
/// When it is not there, cannot be run, or takes too long. That it failed is in [`Output::ok`].
pub async fn run_in(
    program: &str,
    args: &[&str],
    env: &BTreeMap<String, String>,
    cwd: Option<&Path>,
    limit: Duration,
) -> Result<Output, RunError> {
    let path = find_program(program, env).ok_or_else(|| RunError::Missing(program.to_owned()))?;
    let child = prepare(&path, args, env, cwd)
        .spawn()
        .map_err(|e| not_run(program, e))?;
    let group = Group::of(&child);
    let done = wait(program, child, limit).await;
    if done.is_ok() {
        group.ended();
    }
    done
}

/// Prepares a tool: in its environment only, its own process group, no input.
pub fn prepare(
    program: &Path,
    args: &[&str],
    env: &BTreeMap<String, String>,
    cwd: Option<&Path>,
) -> Command {
    let mut command = Command::new(program);
    piped(&mut command, args)
        .env_clear()
        .envs(env)
        .process_group(0);
    if let Some(cwd) = cwd {
        command.current_dir(cwd);
    }
    command
}

fn piped<'a>(command: &'a mut Command, args: &[&str]) -> &'a mut Command {
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
}

async fn wait(program: &str, child: Child, limit: Duration) -> Result<Output, RunError> {
    let done = tokio::time::timeout(limit, child.wait_with_output())
        .await
        .map_err(|_| RunError::TimedOut {
            program: program.to_owned(),
            limit,
        })?
        .map_err(|e| not_run(program, e))?;
    Ok(Output {
        ok: done.status.success(),
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

fn not_run(program: &str, source: std::io::Error) -> RunError {
    if source.kind() == std::io::ErrorKind::NotFound {
        return RunError::Missing(program.to_owned());
    }
    RunError::Io {
        program: program.to_owned(),
        source,
    }
}

/// The process group of a tool that has not been waited for: killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Self(pid.and_then(Pid::from_raw))
    }

    /// It was waited for: its id may be somebody else's by now.
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// A double: answers by the command line, and remembers what it was asked.
#[cfg(test)]
pub(crate) mod double {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{Answer, Output, RunError, Runner};
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::time::Duration;

    #[derive(Default)]
    pub(crate) struct Scripted {
        pub(crate) answers: BTreeMap<String, Output>,
        pub(crate) asked: Mutex<Vec<String>>,
    }

    impl Scripted {
        pub(crate) fn answer(mut self, line: &str, ok: bool, stdout: &str) -> Self {
            let (stdout, stderr) = if ok { (stdout, "") } else { ("", stdout) };
            self.answers.insert(
                line.to_owned(),
                Output {
                    ok,
                    stdout: stdout.to_owned(),
                    stderr: stderr.to_owned(),
                },
            );
            self
        }

        pub(crate) fn asked(&self) -> Vec<String> {
            self.asked.lock().unwrap().clone()
        }
    }

    impl Runner for Scripted {
        fn run<'a>(&'a self, program: &'a str, args: &'a [&'a str], _: Duration) -> Answer<'a> {
            let line = format!("{program} {}", args.join(" "));
            self.asked.lock().unwrap().push(line.clone());
            let answer = self
                .answers
                .get(&line)
                .cloned()
                .ok_or_else(|| RunError::Missing(program.to_owned()));
            Box::pin(async move { answer })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn a_tool_that_is_not_there_is_named() {
        let error = run("no-such-tool-here", &[], Duration::from_secs(5))
            .await
            .unwrap_err();
        assert!(matches!(error, RunError::Missing(name) if name == "no-such-tool-here"));
    }

    #[tokio::test]
    async fn a_tool_that_hangs_is_killed_at_its_limit() {
        let error = run("sleep", &["600"], Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(matches!(error, RunError::TimedOut { .. }));
    }

    #[tokio::test]
    async fn a_failure_is_its_last_lines() {
        let done = run(
            "sh",
            &["-c", "echo 'no such' >&2; echo job >&2; exit 3"],
            Duration::from_secs(10),
        )
        .await
        .unwrap();
        assert!(!done.ok);
        assert_eq!(done.complaint(), "no such; job");
    }

    fn env() -> BTreeMap<String, String> {
        [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into()
    }

    #[tokio::test]
    async fn only_the_given_environment_is_seen() {
        let done = run_in("env", &[], &env(), None, Duration::from_secs(30))
            .await
            .unwrap();
        assert!(done.ok);
        assert_eq!(done.stdout.trim(), "PATH=/usr/bin:/bin");
    }

    #[tokio::test]
    async fn a_tool_that_is_not_on_the_given_path_is_named() {
        let error = run_in("no-such-tool", &[], &env(), None, Duration::from_secs(1))
            .await
            .unwrap_err();
        assert!(matches!(error, RunError::Missing(name) if name == "no-such-tool"));
    }

    #[tokio::test]
    async fn what_hangs_is_killed_with_its_children() {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let path = find_program("sh", &env()).unwrap();
        let mut command = prepare(&path, &["-c", "sleep 600 & sleep 600"], &env(), None);
        command.stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
        let child = command.spawn().unwrap();
        drop(command);
        drop(Group::of(&child));
        // Both sleepers held the socket: its end is theirs.
        let rest = tokio::task::spawn_blocking(move || {
            use std::io::Read as _;
            let mut rest = Vec::new();
            ours.read_to_end(&mut rest).map(|_| rest)
        })
        .await
        .unwrap();
        assert_eq!(rest.unwrap(), b"");
    }
}
