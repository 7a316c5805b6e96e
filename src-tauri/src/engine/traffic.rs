//! What the gateway needs of the other parts of the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cockpit_gateway::{Calls, Events, Findings, Gateway, Kept, Prompts, Secrets, Standing, Who};
use cockpit_model::service::InstanceState;
use cockpit_model::traffic::{SecretPlace, TrafficSpec};
use cockpit_model::{Call, EventBody, Report, Usd};
use cockpit_resilience::budget::Each;
use cockpit_store::Ledger;
use cockpit_store::ledger::{Spender, Spent};
use cockpit_store::prompts::Keeping;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::ended::Ended;
use super::{Engine, keys, publish};

/// A gateway with these settings; it listens nowhere yet.
pub(super) async fn begin(engine: &Arc<Engine>, spec: &TrafficSpec) -> Result<Gateway, String> {
    // Without them it would let in whoever it must not.
    let made = keys::made(&engine.state).await.map_err(|problem| {
        format!("the gateway does not open, for its keys cannot be read: {problem}")
    })?;
    let told = Told {
        bus: engine.bus.clone(),
        telemetry: engine.telemetry.clone(),
        ended: Arc::clone(&engine.ended),
    };
    let parts = cockpit_gateway::Parts {
        calls: Arc::new(Written {
            ledger: engine.ledger.clone(),
            ended: Arc::clone(&engine.ended),
        }),
        prompts: Arc::new(Shelf(engine.prompts.clone())),
        findings: Arc::new(Found {
            ledger: engine.ledger.clone(),
            ended: Arc::clone(&engine.ended),
        }),
        standing: Arc::new(Seen(Arc::downgrade(engine))),
        secrets: Arc::new(Vault(Arc::downgrade(engine))),
        prices: engine.prices.book.clone(),
        events: Arc::new(told),
        spent: spent(engine.ledger.clone()).await,
        key_uses: keys::uses(&engine.state).await,
        keys: made,
    };
    Gateway::new(spec.clone(), parts)
        .await
        .map_err(|error| error.to_string())
}

/// Spenders of one start at most.
const MOST_SPENDERS: usize = 100_000;

/// What was spent today and this month, so that a restart gives nobody a new budget.
pub(super) async fn spent(ledger: Ledger) -> Vec<(Who, Each<Usd>)> {
    let periods = cockpit_gateway::periods();
    let (day, month) = (periods.day, periods.month);
    let reading = tokio::task::spawn_blocking(move || {
        ledger.spending(
            day.starts..day.ends,
            month.starts..month.ends,
            MOST_SPENDERS,
        )
    });
    let spent = match reading.await {
        Ok(Ok(spent)) => spent,
        Ok(Err(error)) => {
            tracing::error!(%error, "what was spent before cannot be read: budgets begin anew");
            Vec::new()
        }
        Err(error) => {
            tracing::error!(%error, "what was spent before was not read: budgets begin anew");
            Vec::new()
        }
    };
    spent.into_iter().map(before).collect()
}

fn before(spent: Spent) -> (Who, Each<Usd>) {
    let who = match spent.who {
        Spender::All => Who::All,
        Spender::Key(name) => Who::Key(name),
        Spender::User(name) => Who::User(name),
        Spender::Agent(name) => Who::Agent(name),
    };
    let each = Each {
        day: spent.day,
        month: spent.month,
    };
    (who, each)
}

struct Written {
    ledger: Ledger,
    ended: Arc<Ended>,
}

impl Calls for Written {
    fn record(&self, call: Call) {
        self.ended.note(&call);
        self.ledger.record(call);
    }
}

/// Where prompts are kept.
struct Shelf(cockpit_store::Prompts);

impl Prompts for Shelf {
    fn obey(&self, rules: BTreeMap<String, Duration>) {
        self.0.obey(rules);
    }

    fn keep(&self, kept: Kept) {
        self.0.keep(Keeping {
            call: kept.call.clone(),
            at: kept.at,
            rule: kept.rule.clone(),
            bytes: kept.bytes(),
            read: Box::new(move || kept.read()),
        });
    }
}

struct Found {
    ledger: Ledger,
    ended: Arc<Ended>,
}

impl Findings for Found {
    fn report(&self, report: Report) {
        self.ended.note_report(&report);
        self.ledger.note(report);
    }
}

struct Told {
    bus: cockpit_telemetry::Bus,
    telemetry: cockpit_store::Telemetry,
    ended: Arc<Ended>,
}

impl Events for Told {
    fn publish(&self, body: EventBody) {
        if let EventBody::Refused { code, count, .. } = &body {
            self.ended.note_refused(code, *count);
        }
        publish(&self.bus, &self.telemetry, body);
    }
}

/// What the supervisor sees of a service.
struct Seen(Weak<Engine>);

impl Standing for Seen {
    fn down(&self, service: &str) -> Option<String> {
        let engine = self.0.upgrade()?;
        let service = engine.supervisor.get()?.standing(service)?;
        // A service that fails its readiness may still answer; the breaker knows whether it does.
        let answers = matches!(
            service.state,
            InstanceState::Ready | InstanceState::Degraded | InstanceState::Unknown
        );
        (!answers).then(|| {
            if service.cause.is_empty() {
                service.state.as_str().replace('_', " ")
            } else {
                service.cause
            }
        })
    }

    fn port(&self, service: &str) -> Option<u16> {
        let engine = self.0.upgrade()?;
        engine.supervisor.get()?.standing(service)?.port
    }
}

/// Where secrets are kept on this machine.
struct Vault(Weak<Engine>);

impl Secrets for Vault {
    fn read<'a>(&'a self, place: &'a SecretPlace) -> BoxFuture<'a, Result<String, String>> {
        async move {
            let found = match place {
                SecretPlace::Env(name) => match self.0.upgrade() {
                    Some(engine) => {
                        let environment = engine.adapters.surroundings().environment().await;
                        environment.get(name).cloned()
                    }
                    None => None,
                },
                SecretPlace::Keychain(name) => cockpit_platform::secrets::lookup(name, None)
                    .await
                    .map_err(|problem| problem.to_string())?,
                SecretPlace::File(path) => {
                    let text = tokio::fs::read_to_string(path).await;
                    Some(text.map_err(|error| format!("{place} cannot be read ({error})"))?)
                }
            };
            let found = found.map(|secret| secret.trim().to_owned());
            found
                .filter(|secret| !secret.is_empty())
                .ok_or_else(|| format!("{place} is not set"))
        }
        .boxed()
    }
}
