//! A Docker engine of the test's own: started by hand in a temporary folder, ended with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::around;
use cockpit_presets::docker;

/// An engine slower than this does not come up at all.
const COMES_UP: Duration = Duration::from_secs(120);

pub(crate) struct Dockerd {
    process: Child,
    folder: tempfile::TempDir,
}

impl Dockerd {
    /// Starts one; `None`, told on standard error, where there is no `dockerd` or we may not start
    /// it. With `COCKPIT_REQUIRE_DOCKER=1` that is a failure.
    pub(crate) async fn start() -> Option<Self> {
        let missing = match () {
            () if !rustix::process::geteuid().is_root() => Some("only root can start dockerd"),
            () if !exists("dockerd") => Some("there is no dockerd"),
            () if !exists("docker") => Some("there is no docker"),
            () if !exists("cc") => Some("there is no C compiler for the image"),
            () => None,
        };
        if let Some(why) = missing {
            let required = std::env::var("COCKPIT_REQUIRE_DOCKER").is_ok_and(|v| v == "1");
            assert!(!required, "Docker is required here: {why}");
            eprintln!("SKIPPED, not tested here: {why}");
            return None;
        }
        // Under /tmp: a socket's path is short.
        let folder = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("dockerd")
            .args(["--data-root", &at("data"), "--exec-root", &at("exec")])
            .args(["--pidfile", &at("pid"), "--host"])
            .arg(format!("unix://{}", at("d.sock")))
            // It touches nothing of the machine's network and needs no kernel module.
            .args(["--bridge=none", "--iptables=false", "--storage-driver=vfs"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut dockerd = Self { process, folder };
        let began = Instant::now();
        let here = around(&dockerd.env(), None);
        while let Err(problem) = docker::connect(&here).await {
            let log = std::fs::read_to_string(dockerd.folder().join("log")).unwrap_or_default();
            let ended = dockerd.process.try_wait().unwrap();
            assert!(ended.is_none(), "dockerd ended: {ended:?}\n{log}");
            assert!(began.elapsed() < COMES_UP, "{problem}\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        dockerd.make_image();
        Some(dockerd)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The environment in which `docker` finds it.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let socket = self.folder().join("d.sock");
        vec![
            ("PATH".into(), std::env::var("PATH").unwrap()),
            ("DOCKER_HOST".into(), format!("unix://{}", socket.display())),
        ]
    }

    /// Runs `docker` and gives its output.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let done = Command::new("docker")
            .args(args)
            .envs(self.env())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "docker {args:?}: {errors}");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// An image of one static program: there is no registry to ask.
    fn make_image(&self) {
        let root = self.folder().join("root");
        std::fs::create_dir(&root).unwrap();
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/supabase/container.c");
        let run = |command: &mut Command| assert!(command.status().unwrap().success());
        run(Command::new("cc")
            .args(["-static", "-o"])
            .arg(root.join("container"))
            .arg(source));
        let tar = self.folder().join("root.tar");
        run(Command::new("tar")
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&tar)
            .arg("."));
        self.docker(&["import", &tar.display().to_string(), "container"]);
    }

    /// Ends the engine; what runs under it ends too.
    pub(crate) fn end(&mut self) {
        let pid = i32::try_from(self.process.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.process.wait();
        // It leaves this behind, and a folder with something mounted in it cannot be removed.
        let _ = Command::new("umount")
            .arg(self.folder().join("exec/netns/default"))
            .stderr(Stdio::null())
            .status();
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        self.end();
    }
}

fn exists(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(program).is_file())
}
