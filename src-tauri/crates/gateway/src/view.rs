//! The gateway as people and programs see it.

use cockpit_model::gateway::{GatewayProvider, GatewayRoute, GatewayView, WaitingRoom};

use crate::Shared;

pub(crate) fn view(shared: &Shared) -> GatewayView {
    let force = shared.force();
    let spec = &force.spec;
    let rooms = shared.rooms.views();
    let providers = spec.providers.iter().map(|provider| {
        let room = rooms.get(&provider.name).zip(provider.queue);
        GatewayProvider {
            name: provider.name.clone(),
            kind: provider.kind.as_str().to_owned(),
            service: provider.service.clone(),
            room: room.map(|(room, queue)| WaitingRoom {
                concurrency: queue.concurrency,
                admitted: room.admitted,
                capacity: queue.waiting,
                waiting: room.waiting,
                longest_wait_ms: room.longest_wait_ms,
            }),
        }
    });
    let routes = spec.routes.iter().map(|route| GatewayRoute {
        name: route.name.clone(),
        targets: route.targets.iter().map(ToString::to_string).collect(),
    });
    GatewayView {
        listen: Some(spec.listen),
        open: true,
        needs_key: force.keys.needed,
        providers: providers.collect(),
        routes: routes.collect(),
        budgets: shared.spend.views(spec),
    }
}
