//! Who listens on a TCP port of this machine, and who truly runs it.
//!
//! Linux: the socket's inode from `/proc/net/tcp{,6}`, the process that holds it from `/proc/*/fd`,
//! its owner from its control group. macOS: `lsof`, then the process table and `launchctl list`: the
//! first of the process and its ancestors that is a launchd job or lies in an application names the
//! owner. Both need no root for the person's own processes; of others the pid may stay unknown.

#[cfg(not(target_os = "macos"))]
mod linux;
#[cfg(any(target_os = "macos", test))]
mod macos;

use cockpit_model::{Owner, PortHolder};

/// A process with its start time: together they name it for ever, unlike a pid alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    /// When it started, in the system's own form; only compared.
    pub(crate) started: String,
}

/// How its owner wants it ended.
#[allow(dead_code, reason = "each system has only some of these owners")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// Ollama's Mac application.
    OllamaApp,
    /// `brew services`, by formula.
    Homebrew(String),
    /// A launchd job, by label.
    Launchd(String),
    /// A unit of the system's systemd.
    SystemUnit(String),
    /// A unit of the person's own systemd.
    UserUnit(String),
    /// A container, by id where it is known.
    Container(Option<String>),
    /// A Mac application, by its name.
    App(String),
    /// Nobody: a terminal, say.
    Nobody,
}

impl Keeper {
    pub(crate) const fn owner(&self) -> Owner {
        match self {
            Self::OllamaApp => Owner::OllamaApp,
            Self::Homebrew(_) => Owner::Homebrew,
            Self::Launchd(_) => Owner::Launchd,
            Self::SystemUnit(_) | Self::UserUnit(_) => Owner::Systemd,
            Self::Container(_) => Owner::Docker,
            Self::App(_) | Self::Nobody => Owner::Other,
        }
    }

    /// The owner in words; a process that nobody keeps speaks for itself.
    fn described(&self, name: &str) -> String {
        match self {
            Self::OllamaApp => "Ollama.app".to_owned(),
            Self::Homebrew(formula) => format!("homebrew.mxcl.{formula}"),
            Self::Launchd(label) => label.clone(),
            Self::SystemUnit(unit) => unit.clone(),
            Self::UserUnit(unit) => format!("{unit} (user)"),
            Self::Container(Some(id)) => {
                format!("container {}", id.get(..12).unwrap_or(id))
            }
            Self::Container(None) => "Docker".to_owned(),
            Self::App(app) => format!("{app}.app"),
            Self::Nobody if name.is_empty() => "a process of another user".to_owned(),
            Self::Nobody => name.to_owned(),
        }
    }
}

/// A listener as [`crate::take_over`] needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) identity: Option<Identity>,
    pub(crate) name: String,
    pub(crate) keeper: Keeper,
}

impl Listener {
    pub(crate) fn view(&self) -> PortHolder {
        let pid = self.identity.as_ref().map(|identity| identity.pid);
        PortHolder {
            pid,
            name: self.name.clone(),
            owner: self.keeper.owner(),
            described: self.keeper.described(&self.name),
        }
    }
}

/// Who listens on the port; `None` when nobody does. Cheap enough to be asked every few seconds.
pub async fn holder(port: u16) -> Option<PortHolder> {
    #[cfg(target_os = "macos")]
    let found = macos::remembered(port).await;
    #[cfg(not(target_os = "macos"))]
    let found = listener(port).await;
    found.map(|listener| listener.view())
}

#[cfg(not(target_os = "macos"))]
pub(crate) async fn listener(port: u16) -> Option<Listener> {
    // Reads of /proc are short, but a machine has thousands of descriptors.
    tokio::task::spawn_blocking(move || linux::listener(port))
        .await
        .ok()
        .flatten()
}

#[cfg(target_os = "macos")]
pub(crate) async fn listener(port: u16) -> Option<Listener> {
    macos::listener(port).await
}

/// The start time of a process, in the form of [`Identity::started`]; `None` when it is gone.
#[cfg(not(target_os = "macos"))]
pub(crate) async fn started(pid: u32) -> Option<String> {
    linux::started(pid)
}

#[cfg(target_os = "macos")]
pub(crate) async fn started(pid: u32) -> Option<String> {
    macos::started(pid).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;

    #[test]
    fn owners_in_words() {
        let of = |keeper: Keeper| keeper.described("ollama");
        assert_eq!(of(Keeper::OllamaApp), "Ollama.app");
        assert_eq!(
            of(Keeper::Homebrew("postgresql@16".into())),
            "homebrew.mxcl.postgresql@16"
        );
        assert_eq!(
            of(Keeper::UserUnit("api.service".into())),
            "api.service (user)"
        );
        assert_eq!(of(Keeper::Nobody), "ollama");
        assert_eq!(Keeper::Nobody.described(""), "a process of another user");
        assert_eq!(
            of(Keeper::Container(Some("0123456789abcdef".into()))),
            "container 0123456789ab"
        );
    }

    #[tokio::test]
    async fn we_ourselves() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(listener) = std::net::TcpListener::bind(address) else {
                assert!(address.starts_with('['), "only IPv6 may be missing");
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            let holder = holder(port).await.unwrap();
            assert_eq!(holder.pid, Some(std::process::id()), "{address}");
            assert_eq!(holder.owner, Owner::Other);
            assert!(holder.described == holder.name && !holder.name.is_empty());
        }
    }

    #[tokio::test]
    async fn a_free_port_has_no_holder() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert_eq!(holder(port).await, None);
    }

    #[tokio::test]
    async fn a_child_of_ours() {
        use std::io::Read as _;
        use std::os::fd::OwnedFd;
        use std::process::{Command, Stdio};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // The child inherits the listener as its standard input and we close ours.
        let mut child = Command::new("sleep")
            .arg("600")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let found = holder(port).await;
        let pid = child.id();
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        child.stdout.unwrap().read_to_string(&mut rest).unwrap();
        let found = found.unwrap();
        assert_eq!(found.pid, Some(pid));
        assert_eq!(found.name, "sleep");
    }
}
