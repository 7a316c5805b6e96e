#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]
//! The PostgreSQL preset beside a real server, made for the test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use cockpit_config::{Origin, Unchecked};
use cockpit_presets::{Surroundings, preset_for};
use futures_util::FutureExt as _;

struct Server {
    process: Child,
    _folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    /// `None`, told on standard error, where PostgreSQL is not installed.
    fn start() -> Option<Self> {
        let Some(bin) = programs() else {
            eprintln!("SKIPPED, not tested here: there is no PostgreSQL");
            return None;
        };
        let folder = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        let data = folder.path().join("data");
        // A port that was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        own(folder.path());
        let made = as_user(&bin.join("initdb"))
            .args(["--auth=trust", "--username=postgres", "--no-sync", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        let process = as_user(&bin.join("postgres"))
            .args(["-p", &port.to_string(), "-c", "max_connections=17", "-c"])
            .arg(format!(
                "unix_socket_directories={}",
                folder.path().display()
            ))
            .arg("-D")
            .arg(&data)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self {
            process,
            _folder: folder,
            port,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = i32::try_from(self.process.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.process.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// PostgreSQL refuses to run as root.
fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command
}

fn own(folder: &Path) {
    if is_root() {
        let done = Command::new("chown").arg("postgres").arg(folder).status();
        assert!(done.unwrap().success());
    }
}

fn programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    for version in (13..20).rev() {
        folders.push(format!("/usr/lib/postgresql/{version}/bin").into());
        folders.push(format!("/opt/homebrew/opt/postgresql@{version}/bin").into());
    }
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

#[tokio::test]
async fn version_and_connections_of_a_real_server() {
    let Some(server) = Server::start() else {
        return;
    };
    let text = format!(
        "[services.db]\nkind = \"postgres\"\nlisten = \"127.0.0.1:{port}\"\n\
         database = \"postgres://postgres@127.0.0.1:{port}/postgres\"\n",
        port = server.port
    );
    let origin = Origin {
        file: Path::new("/x/cockpit.toml"),
        home: Path::new("/x"),
        files: &Unchecked,
    };
    let config = cockpit_config::parse(&text, &origin).unwrap();
    let around = Surroundings::new(
        || futures_util::future::ready(Arc::new(BTreeMap::new())).boxed(),
        |_| futures_util::future::ready(None).boxed(),
        None,
    );
    let preset = preset_for(&config.services[0], &around).unwrap();
    let looking = async {
        // Until it has started, what is said is why it does not answer.
        loop {
            let seen = preset.inspect().await;
            let check = seen.detail.as_ref().unwrap().checks[0].clone();
            if check.ok.is_some() {
                return (seen.version.unwrap(), check);
            }
            assert!(check.error.is_some() && seen.version.is_none());
        }
    };
    let patience = std::time::Duration::from_secs(120);
    let (version, check) = tokio::time::timeout(patience, looking).await.unwrap();
    assert!(
        version.starts_with(|c: char| c.is_ascii_digit()),
        "{version}"
    );
    assert!(!version.contains(' '));
    assert_eq!(
        (check.name.as_str(), check.ok),
        ("connections (1 of 17)", Some(true))
    );
}
