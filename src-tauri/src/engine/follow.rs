//! What the engine does about events: the verdict, desktop notifications, keeping the machine awake.

use std::sync::Arc;

use cockpit_model::{Event, EventBody, InstanceState, Service, Timestamp, Verdict};
use cockpit_platform::awake::{Guard, KeepAwake};
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{Engine, whole};

/// How many readers of the bus are the engine itself.
pub(super) const OWN_READERS: usize = 1;

/// Acts on events until told to stop.
pub(super) async fn run(engine: Arc<Engine>, stopping: CancellationToken) {
    let mut events = Box::pin(engine.bus.subscribe(Some(0)));
    let mut awake = Awake::default();
    judge(&engine, false);
    loop {
        let event: Event = tokio::select! {
            event = events.next() => match event {
                Some(event) => event,
                None => return,
            },
            () = stopping.cancelled() => return,
        };
        match event.body {
            // A refused or a mended file, or a database that cannot be used, changes the status though
            // the verdict stays.
            EventBody::Config { .. } | EventBody::Cockpit { .. } => {
                judge(&engine, true);
                awake.follow(&engine).await;
            }
            EventBody::Service { .. }
            | EventBody::ServiceRemoved { .. }
            | EventBody::Gap { .. }
            | EventBody::Mark(_) => {
                judge(&engine, false);
                awake.follow(&engine).await;
            }
            EventBody::Provider { .. } | EventBody::Budget { .. } => judge(&engine, false),
            EventBody::Breaker { .. } => {
                super::health::follow(&engine);
                judge(&engine, false);
            }
            EventBody::InstanceStarted {
                service, adopted, ..
            } => {
                let gateway = whole(&engine.gateway).clone();
                if let Some(gateway) = gateway.filter(|_| !adopted) {
                    gateway.renewed(&service);
                }
                super::doors::on_process(&engine, &service).await;
            }
            EventBody::InstanceState { service, to, .. } => {
                if to == InstanceState::Ready {
                    ready(&engine, &service);
                }
                super::doors::on_process(&engine, &service).await;
            }
            EventBody::InstanceExit { service, .. } => {
                super::doors::on_process(&engine, &service).await;
            }
            EventBody::ServiceDown { service, cause } => {
                cockpit_platform::notify::notify(&format!("{service} is down"), &cause);
            }
            EventBody::ServiceRecovered { service, down_ms } => {
                let body = format!("it was down for {}", spoken(down_ms));
                cockpit_platform::notify::notify(&format!("{service} is back"), &body);
            }
            EventBody::MemoryLimit {
                service,
                used_bytes,
                limit_bytes,
                action,
                ..
            } => {
                let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
                let body = format!(
                    "{:.1} GiB of {:.1} GiB; action: {action}",
                    gib(used_bytes),
                    gib(limit_bytes)
                );
                cockpit_platform::notify::notify(
                    &format!("{service} is over its memory limit"),
                    &body,
                );
            }
            EventBody::Status { .. }
            | EventBody::Host { .. }
            | EventBody::Refused { .. }
            | EventBody::Access { .. }
            | EventBody::Pii { .. }
            | EventBody::Reported { .. }
            | EventBody::Calls { .. } => {}
        }
    }
}

/// A service has become ready: who asks it through the gateway need not wait for a breaker's time to be over.
fn ready(engine: &Engine, service: &str) {
    let Some(gateway) = whole(&engine.gateway).clone() else {
        return;
    };
    let supervisor = engine.supervisor.get();
    let listen = supervisor
        .and_then(|supervisor| supervisor.service(service))
        .and_then(|service| service.listen);
    gateway.ready(service, listen.as_deref());
}

/// Judges the services anew, and tells when the verdict is another than before, or when `tell`.
pub(super) fn judge(engine: &Engine, tell: bool) {
    let services = engine
        .supervisor
        .get()
        .map(cockpit_supervisor::Supervisor::services)
        .unwrap_or_default();
    let gateway = super::doors::view(engine);
    let now = Timestamp::now();
    let mut verdict = Verdict::of(&services, now).with_traffic(&gateway, now);
    let changed = {
        let mut held = whole(&engine.verdict);
        if let Some(before) = held.as_ref()
            && before.state == verdict.state
            && before.summary == verdict.summary
        {
            verdict.since = before.since.min(verdict.since);
        }
        let changed = held.as_ref() != Some(&verdict);
        *held = Some(verdict);
        changed
    };
    if changed || tell {
        engine.publish(EventBody::Status {
            status: engine.status_of(&services),
        });
    }
}

/// Keeps the machine awake while services run, if the person wants it.
#[derive(Default)]
struct Awake {
    guard: Option<Guard>,
    /// A way was tried and there is none: said once, not at every event.
    refused: bool,
}

impl Awake {
    async fn follow(&mut self, engine: &Engine) {
        let wanted = engine
            .settings()
            .as_ref()
            .is_some_and(|s| s.cockpit.keep_awake)
            && engine
                .supervisor
                .get()
                .is_some_and(|s| s.services().iter().any(runs));
        if !wanted {
            self.guard = None;
            self.refused = false;
        } else if self.guard.is_none() && !self.refused {
            match KeepAwake::hold("services of Studio Cockpit run").await {
                Ok(guard) => self.guard = Some(guard),
                Err(problem) => {
                    self.refused = true;
                    let level = "warning".to_owned();
                    engine.publish(EventBody::Cockpit {
                        level,
                        message: problem.to_string(),
                    });
                }
            }
        }
    }
}

fn runs(service: &Service) -> bool {
    service.state.is_running() || service.is_ready()
}

fn spoken(ms: u64) -> String {
    match ms / 1000 {
        0 => format!("{ms} ms"),
        s @ 1..=119 => format!("{s} s"),
        s @ 120..=7199 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}
