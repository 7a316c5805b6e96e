//! Ending a foreign process in its owner's own way, because a person asked for it.
//!
//! A bare signal does not do: Ollama.app, Homebrew, launchd and systemd start their process again.
//! So the owner is told, and success is what counts in the end: the port is free.

use std::time::Duration;

use cockpit_model::{Code, PortHolder, Problem};
use tokio::time::Instant;

use crate::command::{Runner, System};
use crate::ports::{self, Identity, Keeper, Listener};

/// What an owner's tool may take; `brew` is slow.
const LIMIT: Duration = Duration::from_secs(60);
/// How long after that the port may stay taken: a model server frees tens of gigabytes.
const FREE_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Ends whoever listens on the port, in its owner's way, and waits until the port is free. Answers
/// who it was; `None` when the port was free.
///
/// `expected` is whom the person saw and agreed to end: if by now it is another process, nothing is
/// done.
///
/// # Errors
/// [`Code::NotOurs`] when it is not to be ended from here (a container, another user's process,
/// another process than expected), [`Code::ActionFailed`] when its owner refused,
/// [`Code::PortConflict`] when the port is still taken afterwards. Each says what to do by hand.
pub async fn end_listener(
    port: u16,
    expected: Option<&PortHolder>,
) -> Result<Option<PortHolder>, Problem> {
    let Some(listener) = ports::listener(port).await else {
        return Ok(None);
    };
    let view = listener.view();
    if let Some(expected) = expected.filter(|expected| expected.pid != view.pid) {
        return Err(Problem::new(
            Code::NotOurs,
            format!("port {port} is now held by {}", view.described),
        )
        .detail(format!("it was held by {}", expected.described))
        .remedy("look again before taking it over"));
    }
    let how = plan(&listener, port)?;
    carry_out(&System, &how, port).await?;
    wait_until_free(port, &how).await?;
    Ok(Some(view))
}

/// How to end it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum How {
    /// The owner's tool: program, then arguments.
    Tell(Vec<String>),
    /// A SIGTERM to exactly this process.
    Terminate(Identity),
}

impl How {
    /// What a person would type.
    fn by_hand(&self) -> String {
        match self {
            Self::Tell(line) => line
                .iter()
                .map(|word| {
                    if word.contains([' ', '"']) {
                        format!("'{word}'")
                    } else {
                        word.clone()
                    }
                })
                .collect::<Vec<_>>()
                .join(" "),
            Self::Terminate(identity) => format!("kill {}", identity.pid),
        }
    }
}

fn plan(listener: &Listener, port: u16) -> Result<How, Problem> {
    let tell = |words: &[&str]| {
        Ok(How::Tell(
            words.iter().map(|word| (*word).to_owned()).collect(),
        ))
    };
    match &listener.keeper {
        Keeper::OllamaApp => tell(&["/usr/bin/osascript", "-e", "quit app \"Ollama\""]),
        Keeper::App(name) if is_plain(name) => {
            tell(&["/usr/bin/osascript", "-e", &format!("quit app \"{name}\"")])
        }
        Keeper::Homebrew(formula) => tell(&[brew(), "services", "stop", formula]),
        Keeper::Launchd(label) => {
            let uid = rustix::process::getuid().as_raw();
            tell(&["/bin/launchctl", "bootout", &format!("gui/{uid}/{label}")])
        }
        Keeper::SystemUnit(unit) => tell(&["systemctl", "stop", unit]),
        Keeper::UserUnit(unit) => tell(&["systemctl", "--user", "stop", unit]),
        Keeper::Container(id) => Err(Problem::new(
            Code::NotOurs,
            format!("port {port} belongs to a container"),
        )
        .detail(listener.view().described)
        .remedy(match id {
            Some(id) => format!("docker stop {}", id.get(..12).unwrap_or(id)),
            None => format!("find it with `docker ps --filter publish={port}`, then docker stop"),
        })),
        Keeper::App(_) | Keeper::Nobody => match &listener.identity {
            Some(identity) => Ok(How::Terminate(identity.clone())),
            None => Err(Problem::new(
                Code::NotOurs,
                format!("port {port} belongs to a process of another user"),
            )
            .remedy(format!(
                "look at it with `sudo lsof -iTCP:{port}` and end it there"
            ))),
        },
    }
}

fn is_plain(name: &str) -> bool {
    name.chars()
        .all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.'))
}

fn brew() -> &'static str {
    ["/opt/homebrew/bin/brew", "/usr/local/bin/brew"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .unwrap_or("brew")
}

async fn carry_out(runner: &dyn Runner, how: &How, port: u16) -> Result<(), Problem> {
    match how {
        How::Tell(line) => {
            let Some((program, args)) = line.split_first() else {
                return Ok(());
            };
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let failed = |detail: String| {
                Problem::new(
                    Code::ActionFailed,
                    format!("the owner of port {port} did not end it"),
                )
                .detail(detail)
                .remedy(format!("run it by hand: {}", how.by_hand()))
            };
            match runner.run(program, &args, LIMIT).await {
                Ok(done) if done.ok => Ok(()),
                Ok(done) => Err(failed(done.complaint())),
                Err(e) => Err(failed(e.to_string())),
            }
        }
        How::Terminate(identity) => terminate(identity).await,
    }
}

/// Sends SIGTERM to that process and no other that may have got its pid since.
#[cfg(target_os = "linux")]
async fn terminate(identity: &Identity) -> Result<(), Problem> {
    use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let Some(pid) = raw(identity.pid) else {
        return Ok(());
    };
    // The descriptor pins the process; what it pinned is then checked.
    match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(cannot_end(identity, e)),
        Ok(fd) => {
            if ports::started(identity.pid).await.as_ref() != Some(&identity.started) {
                return Ok(());
            }
            match pidfd_send_signal(&fd, Signal::TERM) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
                Err(e) => Err(cannot_end(identity, e)),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
async fn terminate(identity: &Identity) -> Result<(), Problem> {
    use rustix::process::{Signal, kill_process};
    let Some(pid) = raw(identity.pid) else {
        return Ok(());
    };
    if ports::started(identity.pid).await.as_ref() != Some(&identity.started) {
        return Ok(());
    }
    match kill_process(pid, Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(cannot_end(identity, e)),
    }
}

fn raw(pid: u32) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)
}

fn cannot_end(identity: &Identity, error: rustix::io::Errno) -> Problem {
    Problem::new(
        Code::ActionFailed,
        format!("process {} could not be ended", identity.pid),
    )
    .detail(error.to_string())
    .remedy(format!("sudo kill {}", identity.pid))
}

async fn wait_until_free(port: u16, how: &How) -> Result<(), Problem> {
    let deadline = Instant::now() + FREE_WITHIN;
    while let Some(still) = ports::listener(port).await {
        if Instant::now() >= deadline {
            return Err(Problem::new(
                Code::PortConflict,
                format!("port {port} is still held by {}", still.view().described),
            )
            .detail(format!(
                "it did not end within {} s of `{}`",
                FREE_WITHIN.as_secs(),
                how.by_hand()
            ))
            .remedy("end it by hand, then start the service here"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use crate::command::double::Scripted;
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    fn listener(keeper: Keeper) -> Listener {
        Listener {
            identity: Some(Identity {
                pid: 812,
                started: "7".into(),
            }),
            name: "x".into(),
            keeper,
        }
    }

    #[test]
    fn each_owner_in_its_own_way() {
        let by_hand = |keeper| plan(&listener(keeper), 1).unwrap().by_hand();
        assert_eq!(
            by_hand(Keeper::OllamaApp),
            "/usr/bin/osascript -e 'quit app \"Ollama\"'"
        );
        assert!(by_hand(Keeper::Homebrew("ollama".into())).ends_with("brew services stop ollama"));
        assert!(
            by_hand(Keeper::Launchd("com.x".into())).starts_with("/bin/launchctl bootout gui/")
        );
        assert_eq!(
            by_hand(Keeper::SystemUnit("ollama.service".into())),
            "systemctl stop ollama.service"
        );
        assert_eq!(
            by_hand(Keeper::UserUnit("a.service".into())),
            "systemctl --user stop a.service"
        );
        assert_eq!(by_hand(Keeper::Nobody), "kill 812");
    }

    #[test]
    fn a_container_and_a_stranger_are_not_ended_from_here() {
        let problem = plan(&listener(Keeper::Container(None)), 5432).unwrap_err();
        assert_eq!(problem.code, Code::NotOurs);
        assert!(problem.remedy.unwrap().contains("publish=5432"));
        let mut stranger = listener(Keeper::Nobody);
        stranger.identity = None;
        assert_eq!(plan(&stranger, 80).unwrap_err().code, Code::NotOurs);
    }

    #[test]
    fn an_application_with_a_strange_name_never_reaches_a_script() {
        let how = plan(&listener(Keeper::App("x\" & evil".into())), 1).unwrap();
        assert!(matches!(how, How::Terminate(_)));
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_what_to_do() {
        let runner = Scripted::default().answer(
            "systemctl stop ollama.service",
            false,
            "Interactive authentication required.",
        );
        let how = plan(&listener(Keeper::SystemUnit("ollama.service".into())), 1).unwrap();
        let problem = carry_out(&runner, &how, 11434).await.unwrap_err();
        assert_eq!(problem.code, Code::ActionFailed);
        assert!(problem.detail.unwrap().contains("authentication"));
        assert!(
            problem
                .remedy
                .unwrap()
                .contains("systemctl stop ollama.service")
        );
    }

    fn child_on_a_port() -> (std::process::Child, u16) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let child = Command::new("sleep")
            .arg("600")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .spawn()
            .unwrap();
        (child, port)
    }

    #[tokio::test]
    async fn a_real_process_is_ended_and_its_port_free() {
        let (mut child, port) = child_on_a_port();
        let seen = ports::holder(port).await.unwrap();
        let ended = end_listener(port, Some(&seen)).await.unwrap().unwrap();
        assert_eq!(ended.pid, Some(child.id()));
        assert!(!child.wait().unwrap().success());
        assert_eq!(end_listener(port, None).await.unwrap(), None);
    }

    #[tokio::test]
    async fn another_process_than_the_one_agreed_to_is_left_alone() {
        let (mut child, port) = child_on_a_port();
        let mut seen = ports::holder(port).await.unwrap();
        seen.pid = Some(1);
        let refused = end_listener(port, Some(&seen)).await.unwrap_err();
        assert_eq!(refused.code, Code::NotOurs);
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_pid_that_was_given_to_another_is_left_alone() {
        let (mut child, port) = child_on_a_port();
        drop(ports::holder(port).await);
        terminate(&Identity {
            pid: child.id(),
            started: "another time".into(),
        })
        .await
        .unwrap();
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
