//! Running a service's own tools (`supabase`, `tailscale`, `node`), in the person's environment.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;
use tokio::process::Command;

use crate::around::Env;

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) ok: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// The last few lines of what it said about its failure.
    pub(crate) fn complaint(&self) -> String {
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
pub(crate) enum CommandError {
    /// It is not on the `PATH` of the environment.
    #[error("`{0}` is not on this machine")]
    Missing(String),
    /// It did not finish in time and was killed with what it started.
    #[error("`{program}` did not finish within {} s", limit.as_secs())]
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

/// Finds a program on an environment's `PATH`; a name with a slash is taken as it is.
pub(crate) fn find(program: &str, env: &Env) -> Option<PathBuf> {
    let runs = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| runs(path));
    }
    std::env::split_paths(env.get("PATH")?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|path| runs(path))
}

/// Prepares a tool: in its environment only, its own process group, no input.
pub(crate) fn prepare(program: &Path, args: &[&str], env: &Env, cwd: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .envs(env.iter())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(cwd) = cwd {
        command.current_dir(cwd);
    }
    command
}

/// Runs a tool to its end. When the limit passes, or the future is dropped, its group is killed.
pub(crate) async fn run(
    program: &str,
    args: &[&str],
    env: &Env,
    cwd: Option<&Path>,
    limit: Duration,
) -> Result<Done, CommandError> {
    let path = find(program, env).ok_or_else(|| CommandError::Missing(program.to_owned()))?;
    let io = |source| CommandError::Io {
        program: program.to_owned(),
        source,
    };
    let child = prepare(&path, args, env, cwd).spawn().map_err(io)?;
    let group = Group::of(&child);
    let done = tokio::time::timeout(limit, child.wait_with_output()).await;
    match done {
        Err(_) => Err(CommandError::TimedOut {
            program: program.to_owned(),
            limit,
        }),
        Ok(Err(source)) => Err(io(source)),
        Ok(Ok(output)) => {
            group.ended();
            Ok(Done {
                ok: output.status.success(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            })
        }
    }
}

/// The process group of a tool that has not been waited for: killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn env() -> Env {
        Arc::new(BTreeMap::from([(
            "PATH".to_owned(),
            "/usr/bin:/bin".to_owned(),
        )]))
    }

    #[tokio::test]
    async fn only_the_given_environment_is_seen() {
        let done = run("env", &[], &env(), None, Duration::from_secs(30))
            .await
            .unwrap();
        assert!(done.ok);
        assert_eq!(done.stdout.trim(), "PATH=/usr/bin:/bin");
    }

    #[tokio::test]
    async fn a_missing_tool_is_named() {
        let error = run("no-such-tool", &[], &env(), None, Duration::from_secs(1))
            .await
            .unwrap_err();
        assert!(matches!(error, CommandError::Missing(name) if name == "no-such-tool"));
    }

    #[tokio::test]
    async fn what_hangs_is_killed_with_its_children() {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let path = find("sh", &env()).unwrap();
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
