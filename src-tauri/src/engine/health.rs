//! What requests say of services and providers: a model server that answers its health probe but fails requests is
//! shown as degraded, and so is a vendor.

use cockpit_model::{EventBody, GatewayProvider, GatewayView, ProviderState, Timestamp};
use cockpit_supervisor::Trouble;

use super::{Engine, doors, whole};

/// Whether a provider fails, and since when.
#[derive(Debug, Clone)]
pub(super) struct Failing {
    provider: String,
    since: Timestamp,
}

/// Looks at the providers and the doors anew, and tells what changed: the services, whoever listens, the verdict.
pub(super) fn follow(engine: &Engine) {
    let view = doors::view(engine);
    tell_services(engine, &view);
    let mut news = Vec::new();
    {
        let mut failing = whole(&engine.failing);
        for provider in &view.providers {
            let fails = provider.state == ProviderState::Degraded;
            let place = failing.iter().position(|one| one.provider == provider.name);
            match (fails, place) {
                (true, None) => {
                    failing.push(Failing {
                        provider: provider.name.clone(),
                        since: provider.since.unwrap_or_else(Timestamp::now),
                    });
                    news.push((provider, ProviderState::Ready));
                }
                (false, Some(place)) => {
                    failing.remove(place);
                    news.push((provider, ProviderState::Degraded));
                }
                _ => {}
            }
        }
        failing.retain(|one| view.providers.iter().any(|p| p.name == one.provider));
    }
    for (provider, from) in news {
        engine.publish(EventBody::Provider {
            provider: provider.name.clone(),
            service: provider.service.clone(),
            from,
            to: provider.state,
            cause: provider.cause.clone(),
        });
    }
}

/// Since when providers fail: a breaker knows only of its latest turn.
pub(super) fn remember(engine: &Engine, providers: &mut [GatewayProvider]) {
    let failing = whole(&engine.failing);
    for provider in providers {
        if provider.state == ProviderState::Degraded
            && let Some(known) = failing.iter().find(|one| one.provider == provider.name)
        {
            provider.since = Some(known.since);
        }
    }
}

/// What is wrong with services although their probes pass.
fn tell_services(engine: &Engine, view: &GatewayView) {
    let Some(supervisor) = engine.supervisor.get() else {
        return;
    };
    let doors = whole(&engine.doors).clone();
    for service in supervisor.names() {
        let shut = doors.iter().find_map(|door| {
            let shut = door.shut.as_ref().filter(|shut| !shut.moving)?;
            (door.service.as_deref() == Some(service.as_str())).then_some(shut)
        });
        let fails = view.providers.iter().find(|one| {
            one.service.as_deref() == Some(service.as_str()) && one.state == ProviderState::Degraded
        });
        let cause = match (fails, shut) {
            (Some(provider), _) => format!(
                "it answers its probe, but requests fail: {}",
                provider.cause
            ),
            (None, Some(shut)) => shut.cause.clone(),
            (None, None) => {
                supervisor.set_trouble(&service, None);
                continue;
            }
        };
        let is_held = shut.is_some_and(|shut| shut.holder.is_some());
        supervisor.set_trouble(&service, Some(Trouble { cause, is_held }));
    }
}
