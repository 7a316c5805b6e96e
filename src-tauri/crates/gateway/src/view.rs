//! The gateway as people and programs see it.

use cockpit_model::Timestamp;
use cockpit_model::gateway::{GatewayProvider, GatewayRoute, GatewayView, WaitingRoom};

use crate::breakers::Seen;
use crate::force::{Provider, ProviderKey};
use crate::room::RoomView;
use crate::{Shared, health};

/// All of it but where it listens, which whoever opens its doors knows.
pub(crate) fn view(shared: &Shared) -> GatewayView {
    let force = shared.force();
    let spec = &force.spec;
    let (rooms, breakers) = (shared.rooms.views(), shared.breakers.views());
    let now = Timestamp::now();
    let providers = force.providers().iter().map(|one| {
        let room = rooms.get(&one.spec.name).copied();
        provider(shared, one, room, &breakers, now)
    });
    let routes = spec.routes.iter().map(|route| GatewayRoute {
        name: route.name.clone(),
        targets: route.targets.iter().map(ToString::to_string).collect(),
    });
    GatewayView {
        listen: Some(spec.listen),
        open: true,
        cause: None,
        fronts: Vec::new(),
        needs_key: force.keys.needed,
        providers: providers.collect(),
        routes: routes.collect(),
        budgets: shared
            .spend
            .views(spec, force.keys.by_hash.values().map(|key| &**key)),
        trouble: force.trouble.clone(),
    }
}

fn provider(
    shared: &Shared,
    provider: &Provider,
    room: Option<RoomView>,
    breakers: &[Seen],
    now: Timestamp,
) -> GatewayProvider {
    let spec = &provider.spec;
    let not_asked = match &provider.key {
        ProviderKey::Unreadable(why) => Some(format!("it cannot be asked: {why}")),
        ProviderKey::Own(_) | ProviderKey::Callers => spec
            .service
            .as_deref()
            .and_then(|service| shared.standing.down(service)),
    };
    let own = breakers
        .iter()
        .filter(|one| one.breaker.provider == spec.name);
    let health = health::judge(not_asked, spec.service.is_some(), own, now);
    GatewayProvider {
        name: spec.name.clone(),
        kind: spec.kind.as_str().to_owned(),
        base_url: provider.shown(),
        service: spec.service.clone(),
        local: provider.is_local(),
        state: health.state,
        cause: health.cause,
        since: health.since,
        failing: health.failing,
        room: room.zip(spec.queue).map(|(room, queue)| WaitingRoom {
            concurrency: queue.concurrency,
            admitted: room.admitted,
            capacity: queue.waiting,
            waiting: room.waiting,
            longest_wait_ms: room.longest_wait_ms,
        }),
    }
}
