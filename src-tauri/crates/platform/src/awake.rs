//! Keeping the machine from sleeping while services run.
//!
//! The system's own tool holds the inhibition, and ends with us whatever ends us: `caffeinate -w`
//! watches our process; under `systemd-inhibit` runs a `cat` that reads a pipe of ours, which closes
//! when we are gone. So a cockpit that was killed never leaves a machine that cannot sleep.

use std::process::Stdio;

use cockpit_model::{Code, Problem};
use tokio::process::{Child, Command};

/// Holding it; see [`KeepAwake::hold`].
#[derive(Debug, Clone, Copy, Default)]
pub struct KeepAwake;

/// The machine does not fall asleep by itself while this lives.
#[derive(Debug)]
pub struct Guard {
    // Killed and reaped by the runtime when dropped.
    _tool: Child,
}

impl KeepAwake {
    /// Keeps the machine awake until the guard is dropped. `reason` is shown to a person who asks
    /// the system what keeps it awake.
    ///
    /// # Errors
    /// [`Code::NotSupported`] when the system offers no way: no logind, no tool.
    pub async fn hold(reason: &str) -> Result<Guard, Problem> {
        imp::hold(reason).await
    }
}

fn unavailable(detail: impl Into<String>) -> Problem {
    Problem::new(
        Code::NotSupported,
        "the machine cannot be kept awake from here",
    )
    .detail(detail)
    .remedy("turn automatic sleep off in the system's power settings")
}

#[cfg(target_os = "macos")]
mod imp {
    use super::{Command, Guard, Problem, Stdio, unavailable};

    pub(super) async fn hold(_reason: &str) -> Result<Guard, Problem> {
        let us = std::process::id().to_string();
        // -i: no idle sleep, -m: the disk stays up, -w: until we end.
        let tool = Command::new("/usr/bin/caffeinate")
            .args(["-i", "-m", "-w", &us])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| unavailable(format!("caffeinate: {e}")))?;
        Ok(Guard { _tool: tool })
    }
}

#[cfg(not(target_os = "macos"))]
mod imp {
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

    use super::{Command, Guard, Problem, Stdio, unavailable};

    /// logind answers over D-Bus within milliseconds; one that does not is as good as none.
    const LIMIT: Duration = Duration::from_secs(5);

    pub(super) async fn hold(reason: &str) -> Result<Guard, Problem> {
        let mut command = Command::new("systemd-inhibit");
        command
            .args(["--what=sleep:idle", "--who=Studio Cockpit", "--mode=block"])
            .arg(format!("--why={reason}"))
            // It runs this only once it holds the lock: the line is the proof.
            .args(["sh", "-c", "echo held; exec cat >/dev/null"]);
        start(command).await
    }

    pub(super) async fn start(mut command: Command) -> Result<Guard, Problem> {
        let mut tool = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| unavailable(format!("systemd-inhibit: {e}")))?;
        let mut line = String::new();
        let held = match tool.stdout.take() {
            Some(stdout) => {
                tokio::time::timeout(LIMIT, BufReader::new(stdout).read_line(&mut line))
                    .await
                    .is_ok_and(|read| read.is_ok())
                    && line.trim() == "held"
            }
            None => false,
        };
        if held {
            return Ok(Guard { _tool: tool });
        }
        let mut complaint = String::new();
        if let Some(mut stderr) = tool.stderr.take() {
            // It may hang on a dead bus: what it has written so far is enough.
            let _ = tokio::time::timeout(
                Duration::from_secs(1),
                stderr.read_to_string(&mut complaint),
            )
            .await;
        }
        Err(unavailable(complaint.trim().to_owned()))
    }
}

#[cfg(all(test, not(target_os = "macos")))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn a_tool_that_cannot_hold_it_is_an_honest_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'Failed to connect to bus' >&2; exit 1"]);
        let problem = imp::start(command).await.unwrap_err();
        assert_eq!(problem.code, Code::NotSupported);
        assert_eq!(problem.detail.unwrap(), "Failed to connect to bus");
        assert!(problem.remedy.is_some());
    }

    fn tool() -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo held; exec cat >/dev/null"]);
        command
    }

    #[tokio::test]
    async fn the_tool_ends_by_itself_when_we_are_gone() {
        let mut guard = imp::start(tool()).await.unwrap();
        // What the kernel does when we die.
        drop(guard._tool.stdin.take());
        assert!(guard._tool.wait().await.unwrap().success());
    }

    #[tokio::test]
    async fn the_tool_ends_with_the_guard() {
        use rustix::event::{PollFd, PollFlags, poll};
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let guard = imp::start(tool()).await.unwrap();
        let pid = i32::try_from(guard._tool.id().unwrap()).unwrap();
        let fd = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        drop(guard);
        let ended =
            tokio::task::spawn_blocking(move || poll(&mut [PollFd::new(&fd, PollFlags::IN)], None));
        assert_eq!(ended.await.unwrap().unwrap(), 1);
    }
}
