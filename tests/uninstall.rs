//! Installing the login item and taking it away again; uninstalling: nothing of ours runs on, whatever
//! became of the engines and the configurations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use studio_cockpit::cli::client::Client;
use support::{Cockpit, PATIENCE, exe, is_alive, pid, processes, script};
use tokio::process::Command;

const SLEEPER: &str = "[services.sleeper]\ncommand = [\"sleep\", \"100000\"]\n";

async fn uninstall(data: &Path) -> String {
    // A home of its own: the login item of whoever runs this is not ours to remove.
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(exe())
        .args(["uninstall", "--yes", "--delete-data", "--data-dir"])
        .arg(data)
        .env("HOME", home.path())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{err}");
    text
}

/// What runs from this data folder, the demo's in it included.
fn left(data: &Path) -> Vec<u32> {
    processes(|proc| fs::read_link(proc.join("exe")).is_ok_and(|exe| exe.starts_with(data)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_goes_with_the_rest() {
    let own = Cockpit::start(SLEEPER).await;
    let ours = pid(&own.wait_ready("sleeper").await);
    let demo = own.data().join("demo");
    fs::create_dir(&demo).unwrap();
    fs::copy(own.config_path(), demo.join("cockpit.toml")).unwrap();
    let mut engine = Command::new(exe())
        .args(["serve", "--data-dir"])
        .arg(&demo)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let client = Client::new(demo.join("engine.sock"));
    let deadline = Instant::now() + PATIENCE;
    while client.get_bytes("/readyz").await.is_err() {
        assert!(Instant::now() < deadline, "the engine did not open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let body = serde_json::json!({});
    let started = client.post("/api/services/sleeper/start", &body).await;
    let theirs = pid(&started.unwrap());
    let told = uninstall(own.data()).await;
    assert!(told.contains("the demo's engine ended"), "{told}");
    assert!(engine.wait().await.unwrap().success());
    assert!(![ours, theirs].into_iter().any(is_alive));
    assert!(left(own.data()).is_empty());
    assert!(!own.data().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn services_end_whose_engine_is_dead_and_no_engine_is_told_of() {
    let mut own = Cockpit::start(SLEEPER).await;
    let service = pid(&own.wait_ready("sleeper").await);
    own.kill_engine().await;
    let told = uninstall(own.data()).await;
    assert!(told.contains("1 service stopped"), "{told}");
    assert!(!told.contains("engine ended"), "there was none: {told}");
    assert!(!is_alive(service));
    assert!(!own.data().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn services_end_whose_engine_is_dead_and_whose_configuration_is_broken() {
    let mut own = Cockpit::start(SLEEPER).await;
    let service = pid(&own.wait_ready("sleeper").await);
    own.kill_engine().await;
    own.write_config("this is = = not TOML");
    uninstall(own.data()).await;
    assert!(!is_alive(service));
    assert!(left(own.data()).is_empty());
    assert!(!own.data().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_windows_web_view_kept_goes_with_the_persons_own_data() {
    let home = tempfile::tempdir().unwrap();
    let own = Cockpit::start(SLEEPER).await;
    let kept: Vec<_> = cockpit_web_view(home.path());
    for folder in &kept {
        fs::create_dir_all(folder).unwrap();
    }
    let uninstall = async |args: &[&str]| {
        let output = Command::new(exe())
            .args(["uninstall", "--yes", "--delete-data"])
            .args(args)
            .env("HOME", home.path())
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env("STUDIO_COCKPIT_DATA_DIR", own.data())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("token"), "t").unwrap();
    uninstall(&["--data-dir", other.path().to_str().unwrap()]).await;
    assert!(!other.path().exists());
    assert!(
        kept.iter().all(|folder| folder.exists()),
        "another folder's app may run"
    );
    uninstall(&[]).await;
    assert!(!own.data().exists());
    assert!(!kept.iter().any(|folder| folder.exists()), "{kept:?}");
}

fn cockpit_web_view(home: &Path) -> Vec<std::path::PathBuf> {
    let folders = if cfg!(target_os = "macos") {
        ["Library/WebKit", "Library/Caches"]
    } else {
        [".local/share", ".cache"]
    };
    folders
        .map(|folder| home.join(folder).join("dev.studio-cockpit.app"))
        .to_vec()
}

/// A person's home, and stand-ins for the tools of a user manager that note what they are asked.
#[cfg(target_os = "linux")]
struct Person {
    home: tempfile::TempDir,
    path: String,
}

#[cfg(target_os = "linux")]
impl Person {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let note = |answer: &str| {
            let asked = home.path().join("asked");
            format!("echo \"${{0##*/}} $*\" >> '{}'\n{answer}", asked.display())
        };
        let answers = "case \"$*\" in *is-system-running*) echo running ;; esac";
        script(&bin.join("systemctl"), &note(answers));
        script(&bin.join("loginctl"), &note("echo Linger=yes"));
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        Self { home, path }
    }

    fn env(&self) -> [(&str, &str); 2] {
        [
            ("HOME", self.home.path().to_str().unwrap()),
            ("PATH", &self.path),
        ]
    }

    fn units(&self) -> std::path::PathBuf {
        self.home.path().join(".config/systemd/user")
    }

    /// What the tools were asked since the last time.
    fn asked(&self) -> Vec<String> {
        let path = self.home.path().join("asked");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(&path);
        text.lines().map(str::to_owned).collect()
    }
}

#[cfg(target_os = "linux")]
async fn on_and_off(cockpit: &Cockpit, person: &Person) {
    let reload = "systemctl --user daemon-reload".to_owned();
    let unit = person.units().join("studio-cockpit.service");
    let wants = person
        .units()
        .join("default.target.wants/studio-cockpit.service");
    let login = async |args: &[&str]| {
        let args = [&["login"], args].concat();
        let (code, out, error) = cockpit.verb_with(&args, &person.env()).await;
        assert_eq!((code, error.as_str()), (0, ""), "{args:?}: {out}");
        out
    };

    let out = login(&[]).await;
    assert!(out.contains("does not start at login"), "{out}");
    let mut written = Vec::new();
    // Twice is once.
    for _ in 0..2 {
        person.asked();
        let out = login(&["on"]).await;
        assert!(out.contains(&unit.display().to_string()), "{out}");
        let asked = person.asked();
        assert!(asked.contains(&reload), "{asked:?}");
        let touches = |line: &String| line.contains(" start") || line.contains(" stop");
        assert!(
            !asked.iter().any(touches),
            "what runs is not touched: {asked:?}"
        );
        written.push(fs::read_to_string(&unit).unwrap());
        assert_eq!(fs::read_link(&wants).unwrap(), unit);
    }
    assert_eq!(written[0], written[1]);
    let line = format!(
        "ExecStart=\"{}\" \"serve\" \"--await-config\" \"--data-dir\" \"{}\"\n",
        exe().canonicalize().unwrap().display(),
        cockpit.data().display()
    );
    for part in [
        line.as_str(),
        "KillMode=process\n",
        "WantedBy=default.target\n",
    ] {
        assert!(written[0].contains(part), "{part} in {}", written[0]);
    }
    let json: serde_json::Value = serde_json::from_str(&login(&["--json"]).await).unwrap();
    assert_eq!(json["on"], true, "{json}");
    assert_eq!(json["note"], serde_json::Value::Null, "{json}");

    for _ in 0..2 {
        person.asked();
        let out = login(&["off"]).await;
        assert!(out.contains("does not start at login"), "{out}");
        assert!(person.asked().contains(&reload));
        assert!(!unit.exists() && wants.symlink_metadata().is_err());
    }
    let json: serde_json::Value = serde_json::from_str(&login(&["--json"]).await).unwrap();
    assert_eq!(json["on"], false, "{json}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_engine_is_put_at_login_and_taken_away_again_with_and_without_one_running() {
    let person = Person::new();
    let mut cockpit = Cockpit::new(SLEEPER);
    on_and_off(&cockpit, &person).await;
    cockpit.env = person
        .env()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    cockpit.serve().await;
    let before = pid(&cockpit.wait_ready("sleeper").await);
    on_and_off(&cockpit, &person).await;
    assert_eq!(pid(&cockpit.wait_ready("sleeper").await), before);
}
