//! What the gateway needs of the other parts of the engine.

use std::sync::{Arc, Weak};
use std::time::Duration;

use cockpit_gateway::{Calls, Events, Findings, Gateway, Secrets, Standing, Who};
use cockpit_model::service::InstanceState;
use cockpit_model::traffic::{SecretPlace, TrafficSpec};
use cockpit_model::{Call, EventBody, Report, Timestamp, Usd};
use cockpit_resilience::budget::Each;
use cockpit_store::{Ledger, UsageQuery};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::ended::Ended;
use super::{Engine, publish};

/// A gateway with these settings; it listens nowhere yet.
pub(super) async fn begin(engine: &Arc<Engine>, spec: &TrafficSpec) -> Result<Gateway, String> {
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
        findings: Arc::new(Found {
            ledger: engine.ledger.clone(),
            ended: Arc::clone(&engine.ended),
        }),
        standing: Arc::new(Seen(Arc::downgrade(engine))),
        secrets: Arc::new(Kept(Arc::downgrade(engine))),
        events: Arc::new(told),
        spent: spent(engine.ledger.clone()).await,
        keys: Vec::new(),
    };
    Gateway::new(spec.clone(), parts)
        .await
        .map_err(|error| error.to_string())
}

/// What was spent today and this month, so that a restart gives nobody a new budget.
async fn spent(ledger: Ledger) -> Vec<(Who, Each<Usd>)> {
    let periods = cockpit_gateway::periods();
    let reading = tokio::task::spawn_blocking(move || {
        let now = Timestamp::now();
        let since = |from: Timestamp| {
            let query = UsageQuery {
                from,
                to: now.checked_add(Duration::from_secs(1)).unwrap_or(now),
                step: None,
                group_by: None,
            };
            let usage = ledger.usage(&query, now);
            usage.ok().and_then(|usage| usage.totals.cost_usd)
        };
        Each {
            day: since(periods.day.starts).unwrap_or_default(),
            month: since(periods.month.starts).unwrap_or_default(),
        }
    });
    reading
        .await
        .map(|spent| vec![(Who::All, spent)])
        .unwrap_or_default()
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
struct Kept(Weak<Engine>);

impl Secrets for Kept {
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
