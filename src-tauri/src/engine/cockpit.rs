//! The engine as the API asks it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cockpit_api::{
    CallsAsked, Chart, Cockpit, Counted, Found, Live, LoginItem, Plan, UsageAsked, Written,
};
use cockpit_model::host::{HostSample, HostView};
use cockpit_model::kept::CallDetail;
use cockpit_model::keys::{KeyView, KeyWish, NewKey, RemovedKey};
use cockpit_model::logs::{LogLine, LogQuery};
use cockpit_model::spec::Kind;
use cockpit_model::usage::{Interruption, Usage};
use cockpit_model::verdict::{ConfigState, Counts, EngineInfo};
use cockpit_model::{
    Action, BreakerView, Call, Code, Event, EventBody, GatewayView, Ingested, Mark, Problem,
    Service, Status, Timestamp, Verdict,
};
use cockpit_panics::outlived;
use cockpit_platform::login;
use cockpit_store::{CallFilter, CallsQuery, UsageQuery};
use cockpit_supervisor::Supervisor;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};

use super::adapters::Past;
use super::{Ending, Engine, keys, sibling, whole};
use crate::cli::folder::DataFolder;

/// How long the first sample may take.
const FIRST_SAMPLE: Duration = Duration::from_secs(5);

/// The engine behind the API's trait.
pub(super) struct Door(pub(super) Arc<Engine>);

impl Engine {
    /// The status with these services.
    pub(super) fn status_of(&self, services: &[Service]) -> Status {
        let verdict = whole(&self.verdict).clone();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Status {
            verdict: verdict.unwrap_or_else(|| Verdict::of(services, Timestamp::now())),
            config: self.config().clone(),
            services: Counts {
                ready: count(services.iter().filter(|s| s.is_ready()).count()),
                total: count(services.len()),
            },
            incidents_open: 0,
            engine: EngineInfo {
                trouble: self.trouble(),
                ..self.info.clone()
            },
        }
    }

    /// What of the engine itself does not work now.
    fn trouble(&self) -> Vec<String> {
        let state = self.state_trouble.as_ref().map(|why| {
            format!("state.db is not in use, and a stop by hand is forgotten when the engine ends: {why}")
        });
        let telemetry = self.telemetry.stats().last_error;
        let telemetry = telemetry.map(|why| {
            format!("telemetry.db is not in use, and no history is kept meanwhile: {why}")
        });
        let ledger = self.ledger.stats().last_error;
        let ledger = ledger.map(|why| {
            format!(
                "ledger.db cannot be written; requests through the gateway are kept in memory as long as there is room, \
                 and what applications report is refused: {why}"
            )
        });
        let closed = super::doors::trouble(self);
        let otlp = whole(&self.otlp_trouble).clone();
        let gateway = whole(&self.gateway).clone();
        let gateway = gateway.map(|gateway| gateway.trouble()).unwrap_or_default();
        let stores = state.into_iter().chain(telemetry).chain(ledger);
        stores.chain(closed).chain(otlp).chain(gateway).collect()
    }

    fn supervisor(&self) -> Result<Supervisor, Problem> {
        self.supervisor.get().cloned().ok_or_else(|| {
            Problem::new(
                Code::ConfigInvalid,
                "no services run: the configuration does not hold yet",
            )
            .detail(
                self.config()
                    .errors
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            )
            .remedy("mend the file; it is read again when saved")
        })
    }

    fn known(&self, name: &str) -> Result<Service, Problem> {
        let found = self.supervisor.get().and_then(|s| s.service(name));
        found.ok_or_else(|| {
            Problem::new(
                Code::UnknownService,
                format!("no service is called `{name}`"),
            )
            .remedy("see `studio-cockpit services` for their names")
        })
    }
}

/// The newest sample; just after the start, the first one.
async fn first_sample(engine: &Engine) -> Result<HostSample, Problem> {
    let mut events = Box::pin(engine.bus.subscribe(None));
    if let Some(sample) = whole(&engine.latest).clone() {
        return Ok(sample);
    }
    let first = async {
        while let Some(event) = events.next().await {
            if let EventBody::Host { host } = event.body {
                return Some(*host);
            }
        }
        None
    };
    let measured = tokio::time::timeout(FIRST_SAMPLE, first).await;
    measured.ok().flatten().ok_or_else(|| {
        Problem::new(Code::Busy, "the machine has not been measured yet")
            .remedy("ask again in a second")
    })
}

/// The begin of a window that ends now.
pub(super) fn back(now: Timestamp, window: Duration) -> Timestamp {
    now.checked_sub(window).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The end of a window, excluded, so that what is written down this very moment falls into it.
pub(super) fn just_after(now: Timestamp) -> Timestamp {
    now.checked_add(Duration::from_secs(1)).unwrap_or(now)
}

pub(super) fn storage(error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::Storage, error.to_string())
}

/// What came of a task.
async fn done<T>(task: tokio::task::JoinHandle<Result<T, Problem>>) -> Result<T, Problem> {
    task.await.unwrap_or_else(|error| {
        Err(Problem::new(Code::Internal, "a task of the engine failed").detail(error.to_string()))
    })
}

/// Runs what reads the disk on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(|| outlived(work))
        .await
        .unwrap_or_else(|error| {
            Err(Problem::new(Code::Internal, "a task of the engine failed")
                .detail(error.to_string()))
        })
}

impl Cockpit for Door {
    fn ready(&self) -> bool {
        // Serving while the configuration waits to be mended is all there is to do then.
        self.0.supervisor.get().is_some() || self.0.config().state == ConfigState::Invalid
    }

    fn status(&self) -> Status {
        self.0.status_of(&self.services())
    }

    fn services(&self) -> Vec<Service> {
        self.0
            .supervisor
            .get()
            .map(Supervisor::services)
            .unwrap_or_default()
    }

    fn service(&self, name: &str) -> Result<Service, Problem> {
        self.0.known(name)
    }

    fn act(&self, name: String, action: Action) -> BoxFuture<'static, Result<Service, Problem>> {
        let engine = Arc::clone(&self.0);
        async move {
            let supervisor = engine.supervisor()?;
            engine.known(&name)?;
            tracing::info!(
                service = name,
                action = action.as_str(),
                "asked by a person"
            );
            if matches!(action, Action::Restart | Action::TakeOver) {
                engine.publish(EventBody::Mark(Mark::Restart {
                    service: name.clone(),
                }));
            }
            // In a task of its own: a client that hangs up does not undo what has begun.
            let acting = tokio::spawn(async move {
                if action == Action::TakeOver
                    && let Some(outcome) = super::doors::take_over(&engine, &name).await
                {
                    outcome?;
                    return engine.known(&name);
                }
                let outcome = supervisor.act(&name, action).await;
                if outcome.is_ok() {
                    super::doors::retry(&engine).await;
                }
                outcome
            });
            acting.await.unwrap_or_else(|error| {
                Err(Problem::new(Code::Internal, "the action failed").detail(error.to_string()))
            })
        }
        .boxed()
    }

    fn stop_all(&self) -> BoxFuture<'static, Result<Vec<Service>, Problem>> {
        let engine = Arc::clone(&self.0);
        async move {
            let supervisor = engine.supervisor()?;
            let stopping = tokio::spawn(async move { supervisor.stop_all().await });
            stopping.await.unwrap_or_else(|error| {
                Err(Problem::new(Code::Internal, "stopping failed").detail(error.to_string()))
            })
        }
        .boxed()
    }

    fn logs(
        &self,
        name: String,
        query: LogQuery,
    ) -> BoxFuture<'static, Result<Vec<LogLine>, Problem>> {
        let engine = Arc::clone(&self.0);
        async move {
            engine.known(&name)?;
            engine.supervisor()?.logs(&name, query).await
        }
        .boxed()
    }

    fn follow(
        &self,
        name: String,
        query: LogQuery,
    ) -> BoxFuture<'static, Result<Live<LogLine>, Problem>> {
        let engine = Arc::clone(&self.0);
        async move {
            engine.known(&name)?;
            let lines: Live<LogLine> = engine.supervisor()?.follow(&name, query).await?;
            Ok(lines)
        }
        .boxed()
    }

    fn host(
        &self,
        window: Duration,
        points: usize,
    ) -> BoxFuture<'static, Result<HostView, Problem>> {
        let engine = Arc::clone(&self.0);
        async move {
            let now = first_sample(&engine).await?;
            let series = blocking(move || {
                engine
                    .telemetry
                    .host_series(window, points, Timestamp::now())
                    .map_err(storage)
            });
            Ok(HostView {
                now,
                series: series.await?,
            })
        }
        .boxed()
    }

    fn events(
        &self,
        limit: usize,
        service: Option<String>,
    ) -> BoxFuture<'static, Result<Vec<Event>, Problem>> {
        let engine = Arc::clone(&self.0);
        blocking(move || {
            engine
                .telemetry
                .events(limit, service.as_deref())
                .map_err(storage)
        })
        .boxed()
    }

    fn subscribe(&self, after: Option<u64>) -> Live<Event> {
        match after {
            None => Box::pin(self.0.bus.subscribe(None)),
            Some(after) => {
                let past = Past(self.0.telemetry.clone());
                Box::pin(self.0.bus.resume(after, Arc::new(past)))
            }
        }
    }

    fn reported_metrics(&self) -> String {
        self.0.reported_metrics()
    }

    fn ingest(&self, body: Bytes, gzip: bool) -> BoxFuture<'static, Result<Ingested, Problem>> {
        super::ingest::events(Arc::clone(&self.0), body, gzip).boxed()
    }

    fn unload_model(
        &self,
        service: String,
        model: String,
    ) -> BoxFuture<'static, Result<Service, Problem>> {
        let engine = Arc::clone(&self.0);
        async move {
            engine.known(&service)?;
            let settings = engine.settings().clone();
            let spec = settings.as_ref().and_then(|config| {
                config
                    .services
                    .iter()
                    .find(|s| s.name == service && s.kind == Kind::Ollama)
            });
            let spec = spec.ok_or_else(|| {
                Problem::new(Code::NotSupported, format!("{service} holds no models"))
                    .remedy("only services of kind `ollama` do")
            })?;
            let supervisor = engine.supervisor()?;
            let spec = supervisor
                .resolved(&service)
                .unwrap_or_else(|| spec.clone());
            cockpit_presets::ollama::unload(&spec, &model).await?;
            let seen = supervisor.inspect_now(&service).await;
            seen.map_or_else(|| engine.known(&service), Ok)
        }
        .boxed()
    }

    fn usage(&self, asked: UsageAsked) -> BoxFuture<'static, Result<Usage, Problem>> {
        let engine = Arc::clone(&self.0);
        blocking(move || {
            let now = Timestamp::now();
            let query = UsageQuery {
                from: back(asked.until.unwrap_or(now), asked.window),
                to: asked.until.unwrap_or_else(|| just_after(now)),
                step: asked.step,
                group_by: asked.group_by,
            };
            let mut usage = engine.ledger.usage(&query, now).map_err(storage)?;
            let (from, to) = (usage.window.from, usage.window.to);
            let inside = |one: &&Interruption| one.from < to && one.to > from;
            usage.interruptions = engine
                .interruptions
                .iter()
                .filter(inside)
                .copied()
                .collect();
            Ok(usage)
        })
        .boxed()
    }

    fn call(&self, id: String) -> BoxFuture<'static, Result<CallDetail, Problem>> {
        let (ledger, prompts) = (self.0.ledger.clone(), self.0.prompts.clone());
        blocking(move || {
            let call = ledger.call(&id).map_err(storage)?;
            let call = call.ok_or_else(|| {
                Problem::new(Code::NotFound, "there is no such call")
                    .detail(id.clone())
                    .remedy("`/api/calls` lists those there are; single calls are kept for 30 days")
            })?;
            // The call is known all the same.
            let kept = prompts.read(&id).unwrap_or_else(|error| {
                tracing::warn!(%error, %id, "what was kept of a call cannot be read; it is answered without");
                None
            });
            Ok(CallDetail { call, kept })
        })
        .boxed()
    }

    fn calls(&self, asked: CallsAsked) -> BoxFuture<'static, Result<Vec<Call>, Problem>> {
        let ledger = self.0.ledger.clone();
        blocking(move || {
            let now = Timestamp::now();
            let query = CallsQuery {
                from: back(asked.until.unwrap_or(now), asked.window),
                to: asked.until.unwrap_or_else(|| just_after(now)),
                limit: asked.limit,
                before: None,
                filter: CallFilter {
                    provider: asked.provider,
                    model: asked.model,
                    route: asked.route,
                    user: asked.user,
                    agent: asked.agent,
                    key: asked.key,
                    error: asked.error,
                    outcome: asked.outcome,
                },
            };
            ledger.calls(&query).map_err(storage)
        })
        .boxed()
    }

    fn breakers(&self) -> Vec<BreakerView> {
        let gateway = whole(&self.0.gateway).clone();
        gateway
            .map(|gateway| gateway.breakers())
            .unwrap_or_default()
    }

    fn gateway(&self) -> GatewayView {
        super::doors::view(&self.0)
    }

    fn reset_breaker(&self, provider: &str, model: &str) -> Result<(), Problem> {
        let gateway = whole(&self.0.gateway).clone();
        if gateway.is_some_and(|gateway| gateway.reset_breaker(provider, model)) {
            return Ok(());
        }
        Err(Problem::new(
            Code::NotFound,
            format!("there is no breaker of `{provider}/{model}`"),
        )
        .remedy("`/api/breakers` lists them; one is there once its target was asked"))
    }

    fn counted(&self) -> Counted {
        let ledger = self.0.ledger.stats();
        let telemetry = self.0.telemetry.stats();
        Counted {
            counters: self.0.ended.counted(),
            ledger: Written {
                accepted: ledger.accepted,
                duplicates: ledger.duplicates,
                refused: ledger.refused,
                dropped: ledger.dropped,
                commits: ledger.commits,
                write_errors: ledger.write_errors,
            },
            telemetry: Written {
                dropped: telemetry.dropped,
                commits: telemetry.commits,
                write_errors: telemetry.write_errors,
                ..Written::default()
            },
        }
    }

    fn keys(&self) -> BoxFuture<'static, Result<Vec<KeyView>, Problem>> {
        let engine = Arc::clone(&self.0);
        async move { keys::list(&engine).await }.boxed()
    }

    fn add_key(&self, wish: KeyWish) -> BoxFuture<'static, Result<NewKey, Problem>> {
        let engine = Arc::clone(&self.0);
        async move {
            // In a task of its own: a client that hangs up leaves no key that the gateway does not know.
            let adding = tokio::spawn(async move { keys::add(&engine, wish).await });
            done(adding).await
        }
        .boxed()
    }

    fn remove_key(&self, name: String) -> BoxFuture<'static, Result<RemovedKey, Problem>> {
        let engine = Arc::clone(&self.0);
        async move {
            let removing = tokio::spawn(async move { keys::remove(&engine, name).await });
            done(removing).await
        }
        .boxed()
    }

    fn chart(&self, chart: Chart) -> BoxFuture<'static, Result<Vec<u8>, Problem>> {
        let engine = Arc::clone(&self.0);
        blocking(move || super::charts::draw(&engine, &chart)).boxed()
    }

    fn detect(&self) -> BoxFuture<'static, Result<Plan, Problem>> {
        let engine = Arc::clone(&self.0);
        async move {
            let found = cockpit_presets::detect::detect(engine.adapters.presets()).await;
            let toml = cockpit_presets::detect::plan_toml(&found);
            let found = found
                .into_iter()
                .map(|d| Found {
                    name: d.name,
                    kind: d.kind.as_str().to_owned(),
                    evidence: d.evidence,
                    doubt: d.doubt,
                })
                .collect();
            let path = if engine.info.demo {
                persons_config(&engine.data)?
            } else {
                engine.config_path.clone()
            };
            Ok(Plan {
                found,
                toml,
                path: path.display().to_string(),
            })
        }
        .boxed()
    }

    fn shutdown(&self, stop_services: bool) -> BoxFuture<'static, Result<(), Problem>> {
        self.0.ending.send_replace(Some(Ending { stop_services }));
        futures_util::future::ready(Ok(())).boxed()
    }

    fn login_item(&self) -> BoxFuture<'static, Result<LoginItem, Problem>> {
        async {
            login::LoginItem::new()?
                .status()
                .await
                .map(|status| item(&status))
        }
        .boxed()
    }

    fn set_login_item(&self, on: bool) -> BoxFuture<'static, Result<LoginItem, Problem>> {
        let engine = Arc::clone(&self.0);
        async move {
            let login = login::LoginItem::new()?;
            let status = if on {
                let config = (engine.config_path != engine.data.config())
                    .then(|| engine.config_path.clone());
                let start = login::Start {
                    exe: sibling("studio-cockpit")?,
                    data_dir: engine.data.path().to_path_buf(),
                    config,
                };
                login.enable(&start).await?
            } else {
                login.disable().await?
            };
            Ok(item(&status))
        }
        .boxed()
    }
}

/// The person's configuration, which the demo's own file is not: the demo's folder lies in theirs,
/// unless it was put elsewhere.
fn persons_config(demo: &DataFolder) -> Result<PathBuf, Problem> {
    let path = demo.path();
    let folder = path.parent().filter(|_| path.ends_with("demo"));
    Ok(DataFolder::new(folder)?.config())
}

fn item(status: &login::LoginStatus) -> LoginItem {
    LoginItem {
        on: status.on,
        path: Some(status.path.display().to_string()),
        note: status.note.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::*;

    #[test]
    fn the_demo_leads_to_the_file_of_the_folder_it_lies_in() {
        let demo = DataFolder::new(Some(Path::new("/their/data/demo"))).unwrap();
        assert_eq!(
            persons_config(&demo).unwrap(),
            Path::new("/their/data/cockpit.toml")
        );
        let elsewhere = DataFolder::new(Some(Path::new("/tmp/shown"))).unwrap();
        assert_eq!(
            persons_config(&elsewhere).unwrap(),
            DataFolder::new(None).unwrap().config()
        );
    }
}
