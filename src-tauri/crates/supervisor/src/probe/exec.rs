//! `exec`: a command in the service's folder and environment exits with 0. Its whole group is killed when it takes too
//! long, or when nobody waits for its answer any more.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::Surroundings;
use crate::launch::with_port;

/// So much of what it says to standard error is looked at.
const SAID: u64 = 4096;

/// Kills the group when dropped: at the time limit, when the service stops. Disarmed once the leader was waited for: its
/// number may be somebody else's by then.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

pub(super) async fn run(command: &[String], around: &Surroundings) -> Result<(), String> {
    let Some((program, args)) = command.split_first() else {
        return Err("the probe's command is empty".to_owned());
    };
    let program = with_port(program, around.port);
    let mut child = Command::new(find(&program, around))
        .args(args.iter().map(|arg| with_port(arg, around.port)))
        .env_clear()
        .envs(around.env.iter())
        .current_dir(&around.folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("`{program}` cannot be run: {e}"))?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(id.and_then(Pid::from_raw));
    let stderr = child.stderr.take();
    let mut said = Vec::new();
    let status = {
        let reading = async {
            if let Some(stderr) = stderr {
                let _ = stderr.take(SAID).read_to_end(&mut said).await;
            }
            // What it started may keep the pipe open; only its own end counts.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            status = child.wait() => status,
            () = reading => return Err(format!("`{program}` was not waited for")),
        }
    };
    group.0 = None;
    let status = status.map_err(|e| format!("`{program}` cannot be waited for: {e}"))?;
    if status.success() {
        return Ok(());
    }
    let ended = match status.code() {
        Some(code) => format!("`{program}` exited with code {code}"),
        None => format!("`{program}` was killed"),
    };
    let said = String::from_utf8_lossy(&said);
    Err(match said.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!("{ended}: {}", line.trim()),
        None => ended,
    })
}

/// The program by the service's `PATH`, which is not ours.
fn find(program: &str, around: &Surroundings) -> std::path::PathBuf {
    if program.contains('/') {
        return program.into();
    }
    let path = around
        .env
        .get("PATH")
        .map(String::as_str)
        .unwrap_or_default();
    std::env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| program.into())
}
