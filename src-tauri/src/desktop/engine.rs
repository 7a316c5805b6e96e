//! The engine this app belongs to: where it is, and how it is started when none runs.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cockpit_model::{Code, Problem};
use serde_json::{Value, json};
use studio_cockpit::cli::client::Client;
use studio_cockpit::cli::folder::DataFolder;
use studio_cockpit::cli::sign_in;
use tokio::process::{Child, Command};
use tokio::sync::{MutexGuard, Notify};
use tokio::time::sleep;

/// How long a start may take. A cold start needs a fraction of a second; a loaded machine more.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an engine may take to end when it is replaced or told to stop everything: the longest
/// grace of a service and some.
const END_TIMEOUT: Duration = Duration::from_secs(120);
/// Between two looks at an engine that starts or ends.
const LOOK: Duration = Duration::from_millis(50);

/// The engine of one data folder.
pub(crate) struct Engine {
    folder: DataFolder,
    config: Option<PathBuf>,
    demo: bool,
    client: Client,
    /// What the screens are told while it does not answer.
    trouble: Mutex<Option<String>>,
    /// One start or end at a time.
    starting: tokio::sync::Mutex<()>,
    woken: Notify,
    changed: Notify,
}

impl Engine {
    /// Decides on the data folder: the given or usual one where it has a `cockpit.toml` (or one is
    /// named), else the demo stack's own folder inside it. Starts nothing.
    ///
    /// # Errors
    /// When no data folder is known.
    pub(crate) fn locate(
        data_dir: Option<&Path>,
        config: Option<PathBuf>,
    ) -> Result<Self, Problem> {
        let config = match config {
            Some(path) => Some(std::path::absolute(&path).map_err(|error| {
                Problem::new(Code::Storage, "the configuration's path cannot be used")
                    .detail(format!("{}: {error}", path.display()))
            })?),
            None => None,
        };
        let mut folder = DataFolder::new(data_dir)?;
        let written = fs::read_to_string(folder.config());
        let mut demo = written
            .as_deref()
            .is_ok_and(cockpit_simulator::is_demo_toml);
        if config.is_none() && !folder.config().exists() && !listens(&folder) {
            folder = folder.demo()?;
            demo = true;
        }
        Ok(Self {
            client: Client::new(folder.socket()?),
            folder,
            config,
            demo,
            trouble: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
            woken: Notify::new(),
            changed: Notify::new(),
        })
    }

    /// The client of its API.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Its data folder.
    pub(crate) const fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// The configuration it was told to use.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// A short name of the data folder, the same at each launch.
    pub(crate) fn folder_hash(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.folder.path().hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// Why it does not answer, in words for the screens.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sets or clears what [`Self::trouble`] tells.
    pub(crate) fn set_trouble(&self, text: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// The person wants the engine: a stopped one is started again.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Resolves when [`Self::wake`] was called.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Something was changed that the engine's events do not tell: look again.
    pub(crate) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Resolves when [`Self::look_again`] was called.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether an engine answers that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        let asked = self.client.get_bytes("/readyz");
        matches!(
            tokio::time::timeout(Duration::from_secs(5), asked).await,
            Ok(Ok(_))
        )
    }

    /// Ends the demo that runs in this folder, with all its services: the person has a configuration
    /// of their own now. Asked once, at the launch; whoever starts a demo afterwards means it.
    pub(crate) async fn leave_demo(&self) {
        let Ok(demo) = self.folder.demo() else {
            return;
        };
        if self.demo || !self.folder.config().exists() || !demo.path().is_dir() {
            return;
        }
        let ended = async {
            let client = Client::new(demo.socket()?);
            end(&client, true).await
        };
        match ended.await {
            Ok(true) => tracing::info!("the demo was ended: there is a configuration now"),
            Ok(false) => {}
            Err(problem) => tracing::warn!("the demo could not be ended: {problem}"),
        }
    }

    /// Attaches to the running engine, or starts one and waits until it is ready.
    ///
    /// # Errors
    /// [`Code::CommandMissing`] when the engine's program is not beside this one,
    /// [`Code::ActionFailed`] when it ended at once (with its last words) or is not ready in time.
    pub(crate) async fn ensure(&self) -> Result<(), Problem> {
        let _one = self.starting.lock().await;
        if self.is_ready().await {
            self.set_trouble(None);
            return Ok(());
        }
        self.set_trouble(Some("the engine is starting".to_owned()));
        let started = self.start().await;
        self.set_trouble(started.as_ref().err().map(ToString::to_string));
        started
    }

    async fn start(&self) -> Result<(), Problem> {
        let mut child = self.spawn()?;
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if self.is_ready().await {
                return Ok(());
            }
            if let Ok(Some(status)) = child.try_wait() {
                // Another start may have been quicker; then ours has refused and all is well.
                if self.is_ready().await {
                    return Ok(());
                }
                return Err(Problem::new(Code::ActionFailed, "the engine did not start")
                    .detail(self.last_words().unwrap_or_else(|| status.to_string()))
                    .remedy(format!("its log is {}", self.log_path().display())));
            }
            sleep(LOOK).await;
        }
        Err(Problem::new(Code::ActionFailed, "the engine is not ready")
            .detail(format!("waited {} s", START_TIMEOUT.as_secs()))
            .remedy(format!("its log is {}", self.log_path().display())))
    }

    /// Starts the program in a process group of its own, so that nothing that ends this app (a
    /// terminal's Ctrl-C, a logout of the window system) reaches it.
    fn spawn(&self) -> Result<Child, Problem> {
        let storage = |error: std::io::Error| {
            Problem::new(Code::Storage, "the data folder cannot be used")
                .detail(format!("{}: {error}", self.folder.path().display()))
        };
        self.folder.make()?;
        let log = self.open_log().map_err(storage)?;
        let program = beside_this("studio-cockpit").map_err(storage)?;
        let mut command = Command::new(&program);
        command
            .args(self.arguments())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(storage)?)
            .stderr(log)
            .process_group(0);
        command.spawn().map_err(|error| {
            Problem::new(
                Code::CommandMissing,
                "the engine's program cannot be started",
            )
            .detail(format!("{}: {error}", program.display()))
            .remedy("install Studio Cockpit again: its programs belong in one folder")
        })
    }

    fn arguments(&self) -> Vec<OsString> {
        let verb = if self.demo { "demo" } else { "serve" };
        let mut arguments = vec![
            OsString::from(verb),
            OsString::from("--data-dir"),
            self.folder.path().into(),
        ];
        if self.demo {
            arguments.push("--no-window".into());
        } else {
            // A broken file is shown in the window, and waited for.
            arguments.push("--await-config".into());
            if let Some(config) = &self.config {
                arguments.extend(["--config".into(), config.into()]);
            }
        }
        arguments
    }

    fn log_path(&self) -> PathBuf {
        self.folder.log()
    }

    /// The engine bounds it by itself.
    fn open_log(&self) -> std::io::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
    }

    /// The end of its log: why it did not start.
    fn last_words(&self) -> Option<String> {
        let log = fs::read(self.log_path()).ok()?;
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let from = lines.len().saturating_sub(6);
        let words = lines.get(from..)?.join("\n");
        (!words.is_empty()).then_some(words)
    }

    /// Ends the engine with all its services. None is started again while the answer is held.
    ///
    /// # Errors
    /// The engine's refusal, or [`Code::Busy`] when it is still there after two minutes.
    pub(crate) async fn stop_everything(&self) -> Result<MutexGuard<'_, ()>, Problem> {
        let one = self.starting.lock().await;
        end(&self.client, true).await?;
        Ok(one)
    }

    /// Replaces the running engine by the one that came with this app. The services go on under
    /// their shims, and the new engine finds them.
    ///
    /// # Errors
    /// As [`Self::stop_everything`] and [`Self::ensure`].
    pub(crate) async fn upgrade(&self) -> Result<(), Problem> {
        let _one = self.starting.lock().await;
        self.set_trouble(Some("the engine is being replaced".to_owned()));
        let done = match end(&self.client, false).await {
            Ok(_) => self.start().await,
            Err(refused) => Err(refused),
        };
        self.set_trouble(done.as_ref().err().map(ToString::to_string));
        done
    }

    /// The address of the UI in a browser; it signs one in, once.
    ///
    /// # Errors
    /// When the engine does not answer, or has not written its address.
    pub(crate) async fn browser_url(&self) -> Result<String, Problem> {
        sign_in::address(&self.client, &self.folder).await
    }
}

/// Ends an engine and waits until it is gone; whether there was one.
async fn end(client: &Client, stop_services: bool) -> Result<bool, Problem> {
    let order = json!({ "stop_services": stop_services });
    let was = match client.post::<Value>("/api/engine/stop", &order).await {
        Ok(_) => true,
        // It went away before it could say so: that is what was asked for.
        Err(problem) if problem.code == Code::NotRunning => false,
        Err(problem) => return Err(problem),
    };
    let deadline = Instant::now() + END_TIMEOUT;
    while tokio::net::UnixStream::connect(client.socket())
        .await
        .is_ok()
    {
        if Instant::now() > deadline {
            return Err(Problem::new(Code::Busy, "the engine has not ended yet")
                .remedy("see which service is still stopping, and try again"));
        }
        sleep(LOOK).await;
    }
    Ok(was)
}

/// Whether an engine listens on the folder's socket, ready or not.
fn listens(folder: &DataFolder) -> bool {
    folder
        .socket()
        .is_ok_and(|socket| std::os::unix::net::UnixStream::connect(socket).is_ok())
}

/// A program in the folder of this one: in a build, in a Mac bundle and in a package alike.
fn beside_this(name: &str) -> std::io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}
