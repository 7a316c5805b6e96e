//! The gateway in the engine: opened, closed and given its settings as the configuration says, and what
//! it needs of the other parts.

use std::net::SocketAddr;
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
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ended::Ended;
use super::{Engine, publish, whole};

/// The open gateway.
pub(super) struct Open {
    pub(super) gateway: Gateway,
    listen: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// How often a port that somebody else has is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Does what the settings say: opens the gateway, gives it new settings, or closes it.
pub(super) async fn obey(engine: &Arc<Engine>, spec: Option<&TrafficSpec>) {
    let mut open = engine.traffic.lock().await;
    let Some(spec) = spec else {
        engine.show_gateway(None, None);
        if let Some(open) = open.take() {
            close(open).await;
        }
        return;
    };
    if let Some(open) = &*open
        && open.listen == spec.listen
    {
        open.gateway.apply(spec.clone()).await;
        return;
    }
    // The new one first: where it cannot open, the old one is better than none.
    match begin(engine, spec).await {
        Ok(opened) => {
            engine.show_gateway(Some(opened.gateway.clone()), None);
            if let Some(old) = open.replace(opened) {
                close(old).await;
            }
        }
        Err(message) => {
            let told = whole(&engine.gateway_trouble).as_ref() == Some(&message);
            let still = open.as_ref().map(|open| open.gateway.clone());
            engine.show_gateway(still, Some(message.clone()));
            if !told {
                tracing::error!("{message}");
                engine.publish(EventBody::Cockpit {
                    level: "error".to_owned(),
                    message,
                });
            }
        }
    }
}

/// Opens the gateway once what hindered it is gone, until told to stop.
pub(super) async fn watch(engine: Arc<Engine>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stopping.cancelled() => return,
        }
        if whole(&engine.gateway_trouble).is_some() {
            let spec = engine
                .settings()
                .as_ref()
                .and_then(|config| config.traffic.clone());
            obey(&engine, spec.as_ref()).await;
        }
    }
}

/// Closes the gateway; answers under way are finished, within bounds.
pub(super) async fn end(engine: &Engine) {
    if let Some(open) = engine.traffic.lock().await.take() {
        close(open).await;
    }
}

async fn close(open: Open) {
    open.stop.cancel();
    let _ = open.serving.await;
}

async fn begin(engine: &Arc<Engine>, spec: &TrafficSpec) -> Result<Open, String> {
    let listener = match TcpListener::bind(spec.listen).await {
        Ok(listener) => listener,
        Err(error) => {
            let holder = cockpit_platform::ports::holder(spec.listen.port()).await;
            let whose = holder.map_or_else(String::new, |holder| {
                let pid = holder
                    .pid
                    .map_or_else(String::new, |pid| format!(" (pid {pid})"));
                format!(": `{}`{pid} has the port", holder.name)
            });
            return Err(format!(
                "the gateway cannot listen on {} ({error}){whose}; end that, or give the gateway another with `listen` under [gateway]",
                spec.listen
            ));
        }
    };
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
    let gateway = Gateway::new(spec.clone(), parts)
        .await
        .map_err(|error| error.to_string())?;
    tracing::info!(listen = %spec.listen, providers = spec.providers.len(), "the gateway is open");
    let stop = CancellationToken::new();
    let serving = {
        let (gateway, stop) = (gateway.clone(), stop.clone());
        tokio::spawn(async move { gateway.serve(listener, stop.cancelled_owned()).await })
    };
    Ok(Open {
        gateway,
        listen: spec.listen,
        stop,
        serving,
    })
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
        let service = engine.supervisor.get()?.service(service)?;
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
