//! Running one of the system's own tools and reading its answer, within a time limit.

use std::future::Future;
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;

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
pub(crate) struct Output {
    /// Whether it exited with 0.
    pub(crate) ok: bool,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

impl Output {
    /// What to show of a failure: its error output, else its output, on one line.
    pub(crate) fn complaint(&self) -> String {
        let text = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Why a tool gave no answer.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    /// It is not on this machine.
    #[error("`{0}` is not on this machine")]
    Missing(String),
    /// It did not finish in time and was killed.
    #[error("`{program}` did not answer within {} s", limit.as_secs_f32())]
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

/// Runs a tool to its end; killed when the limit passes or the future is dropped.
pub(crate) async fn run(program: &str, args: &[&str], limit: Duration) -> Result<Output, RunError> {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    match tokio::time::timeout(limit, command.output()).await {
        Err(_) => Err(RunError::TimedOut {
            program: program.to_owned(),
            limit,
        }),
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(RunError::Missing(program.to_owned()))
        }
        Ok(Err(source)) => Err(RunError::Io {
            program: program.to_owned(),
            source,
        }),
        Ok(Ok(done)) => Ok(Output {
            ok: done.status.success(),
            stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
        }),
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
    async fn a_failure_is_one_line() {
        let done = run(
            "sh",
            &["-c", "echo 'no such' >&2; echo job >&2; exit 3"],
            Duration::from_secs(10),
        )
        .await
        .unwrap();
        assert!(!done.ok);
        assert_eq!(done.complaint(), "no such job");
    }
}
