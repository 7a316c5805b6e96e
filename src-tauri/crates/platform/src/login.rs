//! Starting the engine at login, so that it comes back by itself after a power loss.
//!
//! macOS: a LaunchAgent in `~/Library/LaunchAgents`; Linux: a unit of systemd's user manager. The
//! files' contents are pure functions ([`launchd`], [`systemd`]). Turning it on or off concerns the
//! *next* login only: an engine that runs now, started from a terminal or by the app, is neither
//! doubled nor ended. [`LoginItem::start`] and [`LoginItem::stop`] are for those who want that.

mod launchd;
mod systemd;

#[cfg(not(target_os = "macos"))]
pub(crate) use systemd::UNIT;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cockpit_model::{Code, Problem};

use crate::command::{Output, RunError, Runner, System};
use crate::paths;

/// `launchctl` and `systemctl` answer at once, unless the manager is stuck.
const LIMIT: Duration = Duration::from_secs(20);

/// What is started at login: `exe serve --await-config --data-dir … [--config …]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The `studio-cockpit` executable, absolute.
    pub exe: PathBuf,
    /// The data folder, absolute.
    pub data_dir: PathBuf,
    /// The configuration file, if it is not the data folder's own.
    pub config: Option<PathBuf>,
}

impl Start {
    /// Program and arguments.
    fn line(&self) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut line = vec![
            text(&self.exe),
            "serve".to_owned(),
            // Nobody watches a terminal of it: a broken file is shown in the window, and waited for.
            "--await-config".to_owned(),
            "--data-dir".to_owned(),
            text(&self.data_dir),
        ];
        if let Some(config) = &self.config {
            line.extend(["--config".to_owned(), text(config)]);
        }
        line
    }
}

/// Whether it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginStatus {
    /// Whether the engine will start at the next login.
    pub on: bool,
    /// The file that says so, whether it is there or not.
    pub path: PathBuf,
    /// What a person should still do or know (`loginctl enable-linger`, no user manager).
    pub note: Option<String>,
}

/// The login item of this person.
pub struct LoginItem {
    home: PathBuf,
    runner: Box<dyn Runner>,
}

impl LoginItem {
    /// The login item of the person we run as.
    ///
    /// # Errors
    /// [`Code::NotSupported`] when there is no home folder to put it in.
    pub fn new() -> Result<Self, Problem> {
        let home = paths::home().ok_or_else(|| {
            Problem::new(
                Code::NotSupported,
                "there is no home folder to put a login item in",
            )
        })?;
        Ok(Self {
            home,
            runner: Box::new(System),
        })
    }

    /// Whether the engine starts at login.
    ///
    /// # Errors
    /// [`Code::Storage`] when the file cannot be read.
    pub async fn status(&self) -> Result<LoginStatus, Problem> {
        imp::status(self).await
    }

    /// Starts the engine at the next login, and every one after it. A changed path (a new version,
    /// another data folder) replaces the old one.
    ///
    /// # Errors
    /// [`Code::Storage`] when the file cannot be written.
    pub async fn enable(&self, start: &Start) -> Result<LoginStatus, Problem> {
        imp::enable(self, start).await
    }

    /// Does not start it at login any more. An engine that runs goes on.
    ///
    /// # Errors
    /// [`Code::Storage`] when the file cannot be removed.
    pub async fn disable(&self) -> Result<LoginStatus, Problem> {
        imp::disable(self).await
    }

    /// Has the login manager start the engine now; it then also restarts it after a crash. To be
    /// asked when no engine runs.
    ///
    /// # Errors
    /// [`Code::ActionFailed`] with the manager's own words.
    pub async fn start(&self) -> Result<(), Problem> {
        imp::start(self).await
    }

    /// Ends the engine that the login manager started; its services go on.
    ///
    /// # Errors
    /// [`Code::ActionFailed`] with the manager's own words.
    pub async fn stop(&self) -> Result<(), Problem> {
        imp::stop(self).await
    }

    async fn run(&self, program: &str, args: &[&str]) -> Result<Output, RunError> {
        self.runner.run(program, args, LIMIT).await
    }

    /// Runs it, and makes a failure a problem.
    async fn must(&self, program: &str, args: &[&str]) -> Result<(), Problem> {
        let failed = |detail: String| {
            Problem::new(
                Code::ActionFailed,
                format!("`{program} {}` failed", args.join(" ")),
            )
            .detail(detail)
        };
        match self.run(program, args).await {
            Ok(done) if done.ok => Ok(()),
            Ok(done) => Err(failed(done.complaint())),
            Err(e) => Err(failed(e.to_string())),
        }
    }
}

/// Writes beside and renames: a login manager never reads half a file.
fn write_whole(path: &Path, text: &str) -> Result<(), Problem> {
    let failed = |e: std::io::Error| {
        Problem::new(
            Code::Storage,
            format!("the login item {} cannot be written", path.display()),
        )
        .detail(e.to_string())
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

/// Removes a file or link; one that is not there is fine.
fn remove(path: &Path) -> Result<(), Problem> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Problem::new(
            Code::Storage,
            format!("the login item {} cannot be removed", path.display()),
        )
        .detail(e.to_string())),
        _ => Ok(()),
    }
}

#[cfg(target_os = "macos")]
mod imp {
    use super::launchd::{LABEL, plist, plist_path};
    use super::{LoginItem, LoginStatus, Problem, Start, remove, write_whole};

    fn domain() -> String {
        format!("gui/{}", rustix::process::getuid().as_raw())
    }

    fn job() -> String {
        format!("{}/{LABEL}", domain())
    }

    pub(super) async fn status(item: &LoginItem) -> Result<LoginStatus, Problem> {
        let path = plist_path(&item.home);
        let installed = path.exists();
        // A person can switch it off in System Settings; launchd then remembers it as disabled.
        let disabled = match item
            .run("/bin/launchctl", &["print-disabled", &domain()])
            .await
        {
            Ok(done) if done.ok => super::launchd::is_disabled(&done.stdout),
            _ => false,
        };
        Ok(LoginStatus {
            on: installed && !disabled,
            path,
            note: (installed && disabled)
                .then(|| "it is switched off in System Settings, General, Login Items".to_owned()),
        })
    }

    pub(super) async fn enable(item: &LoginItem, start: &Start) -> Result<LoginStatus, Problem> {
        write_whole(&plist_path(&item.home), &plist(start))?;
        // Without this a job that was once disabled stays so.
        let _ = item.run("/bin/launchctl", &["enable", &job()]).await;
        status(item).await
    }

    pub(super) async fn disable(item: &LoginItem) -> Result<LoginStatus, Problem> {
        // launchd reads the folder at login: without the file there is nothing to start.
        remove(&plist_path(&item.home))?;
        status(item).await
    }

    pub(super) async fn start(item: &LoginItem) -> Result<(), Problem> {
        let path = plist_path(&item.home).to_string_lossy().into_owned();
        // Loading starts it (RunAtLoad); one that is loaded already is kicked.
        match item
            .must("/bin/launchctl", &["bootstrap", &domain(), &path])
            .await
        {
            Ok(()) => Ok(()),
            Err(_) => item.must("/bin/launchctl", &["kickstart", &job()]).await,
        }
    }

    pub(super) async fn stop(item: &LoginItem) -> Result<(), Problem> {
        item.must("/bin/launchctl", &["bootout", &job()]).await
    }
}

#[cfg(not(target_os = "macos"))]
mod imp {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::systemd::{UNIT, unit, unit_path, wants_path};
    use super::{Code, LoginItem, LoginStatus, Problem, Start, remove, write_whole};

    pub(super) async fn status(item: &LoginItem) -> Result<LoginStatus, Problem> {
        let path = unit_path(&item.home);
        let on = path.exists() && wants_path(&item.home).symlink_metadata().is_ok();
        let note = if on { note(item).await } else { None };
        Ok(LoginStatus { on, path, note })
    }

    /// What is left for a person to do.
    async fn note(item: &LoginItem) -> Option<String> {
        let user = item.run("id", &["-un"]).await.ok()?.stdout;
        let user = user.trim().to_owned();
        if !reachable(item).await {
            return Some(format!(
                "no systemd user manager answers here: the unit is installed and starts with the \
                 next one (`loginctl enable-linger {user}`, then `systemctl --user start {UNIT}`)"
            ));
        }
        let lingers = item
            .run("loginctl", &["show-user", &user, "--property=Linger"])
            .await
            .is_ok_and(|done| done.stdout.trim() == "Linger=yes");
        (!lingers).then(|| {
            format!(
                "it starts when {user} logs in; to start it with the machine, run \
                 `loginctl enable-linger {user}`"
            )
        })
    }

    async fn reachable(item: &LoginItem) -> bool {
        // Exit 0 or "degraded" (1): whatever it says, it answered.
        item.run("systemctl", &["--user", "is-system-running"])
            .await
            .is_ok_and(|done| {
                matches!(
                    done.stdout.trim(),
                    "running" | "degraded" | "starting" | "initializing" | "maintenance"
                )
            })
    }

    pub(super) async fn enable(item: &LoginItem, start: &Start) -> Result<LoginStatus, Problem> {
        let path = unit_path(&item.home);
        write_whole(&path, &unit(start))?;
        // What `systemctl --user enable` does, but also where no manager runs to do it.
        link(&path, &wants_path(&item.home))?;
        // A manager that runs must hear of it; one that does not reads it when it starts.
        let _ = item.run("systemctl", &["--user", "daemon-reload"]).await;
        status(item).await
    }

    fn link(to: &Path, link: &Path) -> Result<(), Problem> {
        let failed = |e: std::io::Error| {
            Problem::new(
                Code::Storage,
                format!("the login item {} cannot be made", link.display()),
            )
            .detail(e.to_string())
        };
        if let Some(folder) = link.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        remove(link)?;
        symlink(to, link).map_err(failed)
    }

    pub(super) async fn disable(item: &LoginItem) -> Result<LoginStatus, Problem> {
        remove(&wants_path(&item.home))?;
        remove(&unit_path(&item.home))?;
        let _ = item.run("systemctl", &["--user", "daemon-reload"]).await;
        status(item).await
    }

    pub(super) async fn start(item: &LoginItem) -> Result<(), Problem> {
        item.must("systemctl", &["--user", "start", UNIT]).await
    }

    pub(super) async fn stop(item: &LoginItem) -> Result<(), Problem> {
        item.must("systemctl", &["--user", "stop", UNIT]).await
    }
}

#[cfg(all(test, not(target_os = "macos")))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use crate::command::double::Scripted;
    use std::sync::Arc;

    struct Shared(Arc<Scripted>);
    impl Runner for Shared {
        fn run<'a>(
            &'a self,
            program: &'a str,
            args: &'a [&'a str],
            limit: Duration,
        ) -> crate::command::Answer<'a> {
            self.0.run(program, args, limit)
        }
    }

    fn item(home: &Path, scripted: Scripted) -> (LoginItem, Arc<Scripted>) {
        let scripted = Arc::new(scripted);
        let item = LoginItem {
            home: home.to_path_buf(),
            runner: Box::new(Shared(Arc::clone(&scripted))),
        };
        (item, scripted)
    }

    fn start() -> Start {
        Start {
            exe: "/opt/cockpit/studio-cockpit".into(),
            data_dir: "/data".into(),
            config: None,
        }
    }

    #[tokio::test]
    async fn on_and_off_again_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let (item, asked) = item(
            home.path(),
            Scripted::default()
                .answer("systemctl --user is-system-running", true, "running\n")
                .answer("systemctl --user daemon-reload", true, "")
                .answer("id -un", true, "me\n")
                .answer(
                    "loginctl show-user me --property=Linger",
                    true,
                    "Linger=yes\n",
                ),
        );
        assert!(!item.status().await.unwrap().on);
        let on = item.enable(&start()).await.unwrap();
        assert!(on.on);
        assert_eq!(on.note, None);
        let text = std::fs::read_to_string(&on.path).unwrap();
        assert!(text.contains("/opt/cockpit/studio-cockpit"));
        let wants = home
            .path()
            .join(".config/systemd/user/default.target.wants/studio-cockpit.service");
        assert_eq!(std::fs::read_link(&wants).unwrap(), on.path);
        // Twice is once.
        assert!(item.enable(&start()).await.unwrap().on);
        assert!(!item.disable().await.unwrap().on);
        assert!(!on.path.exists() && wants.symlink_metadata().is_err());
        assert!(!item.disable().await.unwrap().on);
        let asked = asked.asked();
        assert!(asked.contains(&"systemctl --user daemon-reload".to_owned()));
        assert!(
            !asked
                .iter()
                .any(|line| line.contains("start") || line.contains("stop")),
            "what runs is not touched: {asked:?}"
        );
    }

    #[tokio::test]
    async fn without_a_user_manager_it_is_installed_and_says_what_to_run() {
        let home = tempfile::tempdir().unwrap();
        let (item, _) = item(
            home.path(),
            Scripted::default()
                .answer(
                    "systemctl --user is-system-running",
                    false,
                    "Failed to connect to bus: No medium found",
                )
                .answer("id -un", true, "me\n"),
        );
        let on = item.enable(&start()).await.unwrap();
        assert!(on.on && on.path.exists());
        assert!(on.note.unwrap().contains("loginctl enable-linger me"));
        let problem = item.start().await.unwrap_err();
        assert_eq!(problem.code, Code::ActionFailed);
    }
}
