//! The one sentence: is the deployment well?

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::gateway::{BudgetView, GatewayProvider, GatewayView, ProviderState};
use crate::service::{Action, InstanceState, Service};

/// The state the menubar's shape shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictState {
    /// Everything that should run is ready.
    Well,
    /// Something is starting, stopping or restarting; nothing is known to be wrong.
    Busy,
    /// Something is wrong but answers, or is being restarted.
    Degraded,
    /// A service does not run and did not come back.
    Down,
    /// Nothing is known yet.
    Unknown,
}

/// `{state, summary, since, cause}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The state.
    pub state: VerdictState,
    /// One sentence: `All 4 services are ready`.
    pub summary: String,
    /// Since when.
    pub since: Timestamp,
    /// Why, in the words of the worst service; empty when all is well.
    pub cause: String,
}

/// `GET /api/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Whether the configuration file holds.
    pub config: ConfigStatus,
    /// How many services.
    pub services: Counts,
    /// Incidents that are open.
    pub incidents_open: u32,
    /// The engine.
    pub engine: EngineInfo,
}

/// The engine as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Its version; an app of a newer one offers the upgrade.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// Where its data is.
    pub data_dir: String,
    /// The configuration file in force.
    pub config_path: String,
    /// Whether this is the bundled demo stack.
    pub demo: bool,
    /// What of the engine itself does not work now, each with what to do: a database that cannot be
    /// used. The services are kept up all the same.
    #[serde(default)]
    pub trouble: Vec<String>,
}

/// How many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Counts {
    /// Ready (or done).
    pub ready: u32,
    /// Configured.
    pub total: u32,
}

/// The configuration's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// `ok` or `invalid`.
    pub state: ConfigState,
    /// What is wrong, `cockpit.toml:LINE:COLUMN: …` each.
    pub errors: Vec<ConfigError>,
    /// What is accepted but does nothing yet, or looks like a slip.
    pub warnings: Vec<ConfigError>,
}

/// Whether the configuration holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigState {
    /// It holds and is in force.
    Ok,
    /// The file on disk does not hold; the last good one is in force.
    Invalid,
}

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The offending text; never a secret.
    pub text: Option<String>,
    /// What was probably meant, or what to write.
    pub suggestion: Option<String>,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.message
        )?;
        if let Some(text) = &self.text {
            write!(f, ": `{text}`")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; {suggestion}")?;
        }
        Ok(())
    }
}

impl Verdict {
    /// Judges the services. `now` is used only when there is nothing to take a time from.
    pub fn of(services: &[Service], now: Timestamp) -> Self {
        let watched: Vec<&Service> = services
            .iter()
            .filter(|s| !(s.state == InstanceState::Stopped && s.manual_stop))
            .collect();
        let Some(worst) = watched.iter().max_by_key(|s| s.state.badness()) else {
            let summary = if services.is_empty() {
                "No services are configured yet".to_owned()
            } else {
                "Every service is stopped by hand".to_owned()
            };
            return Self {
                state: VerdictState::Unknown,
                summary,
                since: now,
                cause: String::new(),
            };
        };
        let total = watched.len();
        let state = match worst.state {
            InstanceState::Ready | InstanceState::Done => VerdictState::Well,
            InstanceState::Stopped
            | InstanceState::Starting
            | InstanceState::Waiting
            | InstanceState::Stopping => VerdictState::Busy,
            InstanceState::Unknown => VerdictState::Unknown,
            InstanceState::Degraded | InstanceState::BackingOff | InstanceState::Failing => {
                VerdictState::Degraded
            }
            InstanceState::CrashLooping | InstanceState::Missing => VerdictState::Down,
        };
        if state == VerdictState::Well {
            let since = watched.iter().map(|s| s.since).max().unwrap_or(now);
            let held = services.len() - total;
            let mut summary = match total {
                1 => format!("{} is ready", worst.name),
                n => format!("All {n} services are ready"),
            };
            if held > 0 {
                summary.push_str(&format!(", {held} stopped by hand"));
            }
            return Self {
                state,
                summary,
                since,
                cause: String::new(),
            };
        }
        let bad = watched.iter().filter(|s| !s.is_ready()).count();
        let word = phrase(worst);
        let summary = if bad == 1 {
            format!("{} {word}", worst.name)
        } else {
            format!("{} {word}, and {} more", worst.name, bad - 1)
        };
        Self {
            state,
            summary,
            since: worst.since,
            cause: worst.cause.clone(),
        }
    }
}

/// What of the traffic a person should know.
struct Found {
    summary: String,
    since: Option<Timestamp>,
    cause: String,
}

impl Verdict {
    /// The same, with what requests say of providers that are no services of this machine, and with the budgets that are
    /// spent: where all else is well, that is what a person should know.
    #[must_use]
    pub fn with_traffic(self, gateway: &GatewayView, now: Timestamp) -> Self {
        // Whoever runs nothing here but the gateway has services to judge by all the same.
        if !matches!(self.state, VerdictState::Well | VerdictState::Unknown) {
            return self;
        }
        let vendors = gateway
            .providers
            .iter()
            .filter(|one| one.service.is_none() && fails(one));
        let spent = |one: &&BudgetView| one.is_own() && one.is_spent();
        let budgets = gateway.budgets.iter().filter(spent).map(spent_budget);
        let mut found = vendors.map(|one| failing(one, gateway)).chain(budgets);
        // A provider that cannot be asked is in trouble as well, and told already.
        let unusable = gateway.trouble.first().map(|cause| Found {
            summary: "A setting of the gateway cannot be used".to_owned(),
            since: None,
            cause: cause.clone(),
        });
        let Some(first) = found.next().or(unusable) else {
            return self;
        };
        let others: Vec<Found> = found.collect();
        let more = match others.len() {
            0 => String::new(),
            n => format!(", and {n} more"),
        };
        let mut cause = first.cause;
        for other in others {
            cause.push_str(&format!("; besides: {}: {}", other.summary, other.cause));
        }
        Self {
            state: VerdictState::Degraded,
            summary: format!("{}{more}", first.summary),
            since: first.since.unwrap_or(now),
            cause,
        }
    }
}

fn fails(provider: &GatewayProvider) -> bool {
    matches!(
        provider.state,
        ProviderState::Degraded | ProviderState::Down
    )
}

/// A provider that fails, with who goes on for it.
fn failing(provider: &GatewayProvider, gateway: &GatewayView) -> Found {
    let word = match provider.state {
        ProviderState::Down => "cannot be asked",
        _ => "fails requests",
    };
    // Of a provider whose models fail one by one, the others go on. `None`: nobody knows the provider.
    let target_fails = |target: &str| {
        let (name, model) = target.split_once('/')?;
        let asked = gateway.providers.iter().find(|one| one.name == name)?;
        Some(match asked.state {
            ProviderState::Degraded => asked.failing.iter().any(|one| one == model),
            _ => fails(asked),
        })
    };
    let works = |target: &&String| target_fails(target) == Some(false);
    let own = format!("{}/", provider.name);
    let is_hit = |target: &String| target.starts_with(&own) && target_fails(target) == Some(true);
    let mut cause = provider.cause.clone();
    for route in &gateway.routes {
        if !route.targets.iter().any(is_hit) {
            continue;
        }
        let said = match route.targets.iter().find(works) {
            Some(target) => format!("; `{}` goes on with {target}", route.name),
            None if provider.state == ProviderState::Down => {
                format!("; nobody answers for `{}`", route.name)
            }
            // It may fail only some of them.
            None => format!("; nobody stands in for `{}`", route.name),
        };
        cause.push_str(&said);
    }
    Found {
        summary: format!("{} {word}", provider.name),
        since: provider.since,
        cause,
    }
}

fn spent_budget(budget: &BudgetView) -> Found {
    let (when, until) = match budget.period.as_str() {
        "day" => ("today", "midnight"),
        _ => ("this month", "the month ends"),
    };
    Found {
        summary: format!("The budget of {} is spent", budget.whose),
        since: None,
        cause: format!(
            "${} of ${} {when}; models that cost money are refused until {until}, those that cost nothing go on",
            budget.spent_usd.told(),
            budget.limit_usd.told(),
        ),
    }
}

/// The state as the predicate of a sentence.
fn phrase(service: &Service) -> &'static str {
    match service.state {
        // Whoever has its port can be taken over from.
        InstanceState::BackingOff if service.actions.contains(&Action::TakeOver) => {
            "cannot start: another process has its port"
        }
        InstanceState::BackingOff
            if service.instances.iter().all(|one| one.last_exit.is_none()) =>
        {
            "cannot start, and is tried again"
        }
        InstanceState::Stopped => "is stopped",
        InstanceState::Waiting => "is waiting",
        InstanceState::Starting => "is starting",
        InstanceState::Ready => "is ready",
        InstanceState::Degraded => "does not answer as it should",
        InstanceState::Failing => "is hung and is being restarted",
        InstanceState::BackingOff => "died and will be restarted",
        InstanceState::Stopping => "is stopping",
        InstanceState::CrashLooping => "keeps crashing",
        InstanceState::Missing => "is not installed",
        InstanceState::Done => "is done",
        InstanceState::Unknown => "has not been seen yet",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::gateway::GatewayRoute;
    use crate::money::Usd;
    use crate::service::{Exit, Instance, Owner};

    fn provider(name: &str, service: Option<&str>, state: ProviderState) -> GatewayProvider {
        GatewayProvider {
            name: name.to_owned(),
            kind: "openai".to_owned(),
            base_url: String::new(),
            service: service.map(str::to_owned),
            local: false,
            state,
            cause: "`gpt-4o`: 5 calls in a row failed: provider_error".to_owned(),
            since: None,
            failing: vec!["gpt-4o".to_owned()],
            room: None,
        }
    }

    fn judged(state: VerdictState, providers: Vec<GatewayProvider>) -> Verdict {
        with(state, providers, Vec::new())
    }

    fn with(
        state: VerdictState,
        providers: Vec<GatewayProvider>,
        budgets: Vec<BudgetView>,
    ) -> Verdict {
        let verdict = Verdict {
            state,
            summary: "as before".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            cause: String::new(),
        };
        let now = Timestamp::from_second(60).unwrap();
        let view = GatewayView {
            providers,
            budgets,
            routes: vec![
                GatewayRoute {
                    name: "chat".to_owned(),
                    targets: vec!["openai/gpt-4o".to_owned(), "local/llama".to_owned()],
                },
                GatewayRoute {
                    name: "best".to_owned(),
                    targets: vec!["openai/gpt-4o".to_owned()],
                },
            ],
            ..GatewayView::default()
        };
        verdict.with_traffic(&view, now)
    }

    fn budget(whose: &str, spent: f64, limit: f64) -> BudgetView {
        BudgetView {
            whose: whose.to_owned(),
            period: "day".to_owned(),
            limit_usd: Usd::from_dollars(limit).unwrap(),
            spent_usd: Usd::from_dollars(spent).unwrap(),
            reserved_usd: Usd::ZERO,
            renews_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_spent_budget_is_told_and_only_where_somebody_set_it_for_one() {
        let of = |budgets| with(VerdictState::Well, Vec::new(), budgets);
        let verdict = of(vec![budget("this cockpit", 5.000_2, 5.0)]);
        assert_eq!(verdict.state, VerdictState::Degraded);
        assert_eq!(verdict.summary, "The budget of this cockpit is spent");
        assert_eq!(
            verdict.cause,
            "$5.00 of $5.00 today; models that cost money are refused until midnight, those that cost nothing go on"
        );
        assert_eq!(verdict.since, Timestamp::from_second(60).unwrap());
        for quiet in [
            budget("this cockpit", 4.999, 5.0),
            budget("this cockpit", 0.0, 0.0),
            budget("the user `ada`", 1.0, 1.0),
        ] {
            assert_eq!(of(vec![quiet]).summary, "as before");
        }
        let both = with(
            VerdictState::Well,
            vec![provider("openai", None, ProviderState::Degraded)],
            vec![budget("the key `app`", 1.0, 1.0)],
        );
        assert_eq!(both.summary, "openai fails requests, and 1 more");
    }

    #[test]
    fn a_vendor_that_cannot_be_asked_leaves_nobody() {
        let down = vec![provider("openai", None, ProviderState::Down)];
        let verdict = judged(VerdictState::Well, down);
        assert_eq!(verdict.summary, "openai cannot be asked");
        assert!(verdict.cause.ends_with("; nobody answers for `best`"));
    }

    /// A service that waits to be started again.
    fn waiting(actions: &[Action], last_exit: Option<Exit>) -> Service {
        let (state, since) = (InstanceState::BackingOff, Timestamp::UNIX_EPOCH);
        let instance = Instance {
            index: 0,
            pid: None,
            port: Some(11434),
            state,
            since,
            cause: String::new(),
            started_at: None,
            restarts: 0,
            cpu_percent: None,
            memory_bytes: None,
            last_exit,
            next_attempt_at: None,
        };
        Service {
            name: "llm".to_owned(),
            kind: "ollama".to_owned(),
            state,
            since,
            cause: "port 11434 is held by nginx (pid 7)".to_owned(),
            owner: Owner::Cockpit,
            owner_detail: None,
            version: None,
            listen: None,
            instances: vec![instance],
            probe: None,
            heartbeat: Vec::new(),
            depends_on: Vec::new(),
            manual_stop: false,
            actions: actions.to_vec(),
            detail: None,
        }
    }

    #[test]
    fn only_what_ran_has_died() {
        let exit = Some(Exit {
            code: Some(1),
            signal: None,
            at: Timestamp::UNIX_EPOCH,
            last_lines: Vec::new(),
        });
        for (service, wanted) in [
            (
                waiting(&[Action::TakeOver], None),
                "llm cannot start: another process has its port",
            ),
            (
                waiting(&[Action::TakeOver], exit.clone()),
                "llm cannot start: another process has its port",
            ),
            (
                waiting(&[Action::Stop], None),
                "llm cannot start, and is tried again",
            ),
            (
                waiting(&[Action::Stop], exit),
                "llm died and will be restarted",
            ),
        ] {
            let verdict = Verdict::of(&[service], Timestamp::UNIX_EPOCH);
            assert_eq!(verdict.summary, wanted);
            assert_eq!(verdict.cause, "port 11434 is held by nginx (pid 7)");
        }
    }

    #[test]
    fn a_vendor_that_fails_is_named_with_who_goes_on() {
        let verdict = judged(
            VerdictState::Well,
            vec![
                provider("openai", None, ProviderState::Degraded),
                provider("local", Some("ollama"), ProviderState::Ready),
            ],
        );
        assert_eq!(verdict.state, VerdictState::Degraded);
        assert_eq!(verdict.summary, "openai fails requests");
        assert_eq!(
            verdict.cause,
            "`gpt-4o`: 5 calls in a row failed: provider_error; `chat` goes on with local/llama; nobody stands in for `best`"
        );
    }

    #[test]
    fn a_vendor_goes_on_with_its_other_models() {
        let mut openai = provider("openai", None, ProviderState::Degraded);
        openai.failing = vec!["dead".to_owned()];
        let route = |name: &str, targets: &[&str]| GatewayRoute {
            name: name.to_owned(),
            targets: targets.iter().map(|one| (*one).to_owned()).collect(),
        };
        let view = GatewayView {
            providers: vec![openai],
            routes: vec![
                route("chat", &["openai/dead", "openai/gpt-4o"]),
                route("json", &["openai/rubbish", "openai/gpt-4o"]),
                route("last", &["openai/dead"]),
            ],
            ..GatewayView::default()
        };
        let first = view.providers.first().unwrap();
        let cause = failing(first, &view).cause;
        let (_, said) = cause.split_once("; ").unwrap();
        assert_eq!(
            said,
            "`chat` goes on with openai/gpt-4o; nobody stands in for `last`"
        );
    }

    #[test]
    fn a_setting_that_cannot_be_used_is_told() {
        let well = Verdict {
            state: VerdictState::Well,
            summary: "as before".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            cause: String::new(),
        };
        let view = GatewayView {
            trouble: vec!["nobody can use the key `web`: WEB_KEY is not set".to_owned()],
            ..GatewayView::default()
        };
        let verdict = well.with_traffic(&view, Timestamp::UNIX_EPOCH);
        assert_eq!(verdict.state, VerdictState::Degraded);
        assert_eq!(Some(&verdict.cause), view.trouble.first());
    }

    #[test]
    fn services_speak_for_themselves_and_first() {
        let fails = |service| vec![provider("openai", service, ProviderState::Degraded)];
        let own = judged(VerdictState::Well, fails(Some("vendor")));
        assert_eq!(own.summary, "as before");
        assert_eq!(judged(VerdictState::Down, fails(None)).summary, "as before");
        let unknown = vec![provider("openai", None, ProviderState::Unknown)];
        assert_eq!(judged(VerdictState::Well, unknown).summary, "as before");
    }
}
