//! Supabase: the CLI brings it up and down, Docker runs it, and what really runs is asked of both
//! Docker and the services themselves.
//!
//! The CLI alone is not to be believed: `supabase start` answers "already running" while containers
//! are dead. So [`Supabase::up`] looks at the containers first, and where some are dead it stops the
//! project before it starts it. It is ready when its containers run, none of them is unhealthy, and
//! `auth`, `rest` and a SELECT on the database answer.

mod checks;
mod project;
mod standing;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cockpit_model::logs::{LogLine, LogQuery};
use cockpit_model::{Code, Detail, Owner, Problem, ServiceSpec};
use cockpit_platform::command::{self, Output, RunError};
use cockpit_platform::environment::find_program;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::OnceCell;

use crate::around::{Env, Surroundings};
use crate::docker::{self, Engine, Seen};
use crate::{Observation, Preset};
pub(crate) use project::Project;
use standing::{Standing, standing};

/// The first start pulls gigabytes of images.
const START: Duration = Duration::from_secs(30 * 60);
const STOP: Duration = Duration::from_secs(3 * 60);
const ASK: Duration = Duration::from_secs(10);

/// The preset of kind `supabase`.
pub(crate) struct Supabase {
    spec: ServiceSpec,
    around: Surroundings,
    version: OnceCell<Option<String>>,
}

impl Supabase {
    pub(crate) const fn new(spec: ServiceSpec, around: Surroundings) -> Self {
        Self {
            spec,
            around,
            version: OnceCell::const_new(),
        }
    }

    fn project(&self) -> Result<Project, Problem> {
        let folder = self
            .spec
            .options
            .project
            .as_deref()
            .or(self.spec.cwd.as_deref());
        match folder {
            Some(folder) => Project::load(folder),
            None => Err(Problem::new(
                Code::ConfigInvalid,
                format!("{} names no Supabase project", self.spec.name),
            )
            .remedy("set project = \"…\", the folder that holds supabase/config.toml")),
        }
    }

    async fn containers(&self, project: &Project) -> Result<(Engine, Vec<Seen>), Problem> {
        let engine = docker::connect(&self.around).await?;
        let label = format!("com.supabase.cli.project={}", project.id);
        let containers = engine.labelled(&label).await?;
        Ok((engine, containers))
    }

    async fn bring_up(&self) -> Result<(), Problem> {
        let project = self.project()?;
        // Before the CLI is asked: it explains a Docker that is not there in many lines.
        let (_, before) = self.containers(&project).await?;
        let env = self.around.env_of(&self.spec).await;
        let cli = cli(&project.folder, &env)?;
        // The CLI takes what merely exists for a running project, and starts nothing.
        let broken = match standing(&before) {
            Standing::Dead(dead) => Some(dead),
            Standing::Absent => None,
            _ => {
                let missing = standing::missing(&project, &before);
                (!missing.is_empty()).then(|| format!("there is no {}", missing.join(", ")))
            }
        };
        if let Some(why) = broken {
            tracing::info!("{}: {why}; stopping it first", self.spec.name);
            self.cli(&cli, "stop", &project, &env, STOP).await?;
        }
        self.cli(&cli, "start", &project, &env, START).await?;
        let (_, mut after) = self.containers(&project).await?;
        if let Standing::Dead(dead) = standing(&after) {
            // They died in between, and the CLI took the rest for a running project.
            tracing::warn!("{}: {dead} after a start; once more", self.spec.name);
            self.cli(&cli, "stop", &project, &env, STOP).await?;
            self.cli(&cli, "start", &project, &env, START).await?;
            after = self.containers(&project).await?.1;
        }
        match standing(&after) {
            Standing::Up | Standing::Settling(_) => Ok(()),
            Standing::Absent => Err(Problem::new(
                Code::ActionFailed,
                format!("`supabase start` left no containers of {}", project.id),
            )
            .remedy("run `supabase start --debug` in the project's folder")),
            Standing::Dead(why) | Standing::Unhealthy(why) => Err(Problem::new(
                Code::ActionFailed,
                format!("{} did not come up", self.spec.name),
            )
            .detail(why)
            .remedy("its logs here show the container's last words")),
        }
    }

    async fn bring_down(&self) -> Result<(), Problem> {
        let project = self.project()?;
        let (_, containers) = self.containers(&project).await?;
        if containers.is_empty() {
            return Ok(());
        }
        let env = self.around.env_of(&self.spec).await;
        let cli = cli(&project.folder, &env)?;
        self.cli(&cli, "stop", &project, &env, STOP).await
    }

    async fn cli(
        &self,
        cli: &Path,
        verb: &str,
        project: &Project,
        env: &Env,
        limit: Duration,
    ) -> Result<(), Problem> {
        let program = cli.to_string_lossy();
        let done = command::run_in(&program, &[verb], env, Some(&project.folder), limit).await;
        outcome(verb, &project.folder, done)
    }

    async fn cli_version(&self, project: &Project) -> Option<String> {
        let env = self.around.env_of(&self.spec).await;
        let cli = cli(&project.folder, &env).ok()?;
        let folder = Some(project.folder.as_path());
        let done = command::run_in(&cli.to_string_lossy(), &["--version"], &env, folder, ASK)
            .await
            .ok()?;
        let version = done.stdout.trim();
        (done.ok && !version.is_empty()).then(|| format!("CLI {version}"))
    }

    async fn look(&self) -> Observation {
        let mut seen = Observation {
            owner: Some(Owner::Docker),
            ..Observation::default()
        };
        let project = match self.project() {
            Ok(project) => project,
            Err(problem) => return named(seen, &problem),
        };
        seen.owner_detail = Some(format!("the containers of {}", project.id));
        seen.version = self
            .version
            .get_or_init(|| self.cli_version(&project))
            .await
            .clone();
        let containers = match self.containers(&project).await {
            Ok((_, containers)) => containers,
            Err(problem) => return named(seen, &problem),
        };
        let standing = standing(&containers);
        let mut detail = Detail {
            containers: containers.iter().map(|c| c.view.clone()).collect(),
            checks: standing::optional_checks(&containers),
            ..Detail::default()
        };
        let mut ready = match &standing {
            Standing::Absent => {
                detail.remedy = Some("start it here, or run `supabase start`".to_owned());
                Err(format!(
                    "it is not started: Docker has no container of {}",
                    project.id
                ))
            }
            Standing::Dead(why) => {
                detail.remedy = Some(
                    "restart it here: it is stopped and started again (`supabase stop`, `supabase start`)"
                        .to_owned(),
                );
                Err(format!(
                    "{why}, while the CLI counts the project as running"
                ))
            }
            Standing::Unhealthy(why) | Standing::Settling(why) => Err(why.clone()),
            Standing::Up => Ok(()),
        };
        if standing != Standing::Absent {
            let env = self.around.env_of(&self.spec).await;
            let checks = checks::all(&self.spec, &project, &containers, &env).await;
            if ready.is_ok()
                && let Some(bad) = checks.iter().find(|check| check.ok == Some(false))
            {
                let error = bad.error.as_deref().unwrap_or("does not answer");
                ready = Err(format!("{}: {error}", bad.name));
            }
            let optional = std::mem::replace(&mut detail.checks, checks);
            detail.checks.extend(optional);
        }
        seen.detail = Some(detail);
        seen.ready = Some(ready);
        seen
    }
}

/// A cause with its remedy.
fn named(mut seen: Observation, problem: &Problem) -> Observation {
    seen.ready = Some(Err(match &problem.detail {
        Some(detail) => format!("{}: {detail}", problem.title),
        None => problem.title.clone(),
    }));
    seen.detail = Some(Detail {
        remedy: problem.remedy.clone(),
        ..Detail::default()
    });
    seen
}

/// The Supabase CLI: the project's own (a development dependency, also of a folder above), else the
/// one on the `PATH`.
fn cli(folder: &Path, env: &Env) -> Result<PathBuf, Problem> {
    folder
        .ancestors()
        .map(|above| above.join("node_modules/.bin/supabase"))
        .find_map(|path| find_program(&path.to_string_lossy(), env))
        .or_else(|| find_program("supabase", env))
        .ok_or_else(|| {
            Problem::new(
                Code::CommandMissing,
                "the Supabase CLI is not on this machine",
            )
            .remedy(if cfg!(target_os = "macos") {
                "install it: brew install supabase/tap/supabase (or, in the project: npm install --save-dev supabase)"
            } else {
                "install it: npm install --save-dev supabase in the project, or the package of https://github.com/supabase/cli/releases"
            })
        })
}

fn outcome(verb: &str, folder: &Path, done: Result<Output, RunError>) -> Result<(), Problem> {
    let failed = |all: &str, last: &str| {
        let said = words::failure(verb, all, last);
        let title = format!("`supabase {verb}` failed in {}", folder.display());
        Problem::new(Code::ActionFailed, title)
            .detail(said.cause)
            .remedy(said.remedy)
    };
    match done {
        Ok(done) if done.ok => Ok(()),
        Ok(done) => Err(failed(&done.stderr, &done.complaint())),
        Err(e) => Err(failed("", &e.to_string())),
    }
}

impl Preset for Supabase {
    fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    fn around(&self) -> &Surroundings {
        &self.around
    }

    fn up(&self) -> BoxFuture<'_, Result<(), Problem>> {
        self.bring_up().boxed()
    }

    fn down(&self) -> BoxFuture<'_, Result<(), Problem>> {
        self.bring_down().boxed()
    }

    fn inspect(&self) -> BoxFuture<'_, Observation> {
        self.look().boxed()
    }

    fn logs(&self, query: LogQuery) -> BoxFuture<'_, Result<Vec<LogLine>, Problem>> {
        async move {
            let (engine, containers) = self.containers(&self.project()?).await?;
            engine.logs(&containers, &query).await
        }
        .boxed()
    }

    fn follow(
        &self,
        query: LogQuery,
    ) -> BoxFuture<'_, Result<BoxStream<'static, LogLine>, Problem>> {
        async move {
            let (engine, containers) = self.containers(&self.project()?).await?;
            Ok(engine.follow(&containers, query))
        }
        .boxed()
    }
}
