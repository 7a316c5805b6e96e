//! The order services start in.

use std::collections::HashMap;

use cockpit_model::ServiceSpec;

/// Indices into `services`, dependencies first, otherwise in the given order.
///
/// Total: dependencies that do not exist are passed over, and services in a circle (which no
/// [`crate::Config`] has) come last.
pub fn start_order(services: &[ServiceSpec]) -> Vec<usize> {
    let index: HashMap<&str, usize> = services
        .iter()
        .enumerate()
        .map(|(at, service)| (service.name.as_str(), at))
        .collect();
    let mut waits_for: Vec<usize> = vec![0; services.len()];
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); services.len()];
    for (at, service) in services.iter().enumerate() {
        let mut needs: Vec<usize> = service
            .depends_on
            .iter()
            .filter_map(|name| index.get(name.as_str()).copied())
            .collect();
        needs.sort_unstable();
        needs.dedup();
        if let Some(count) = waits_for.get_mut(at) {
            *count = needs.len();
        }
        for need in needs {
            if let Some(list) = dependants.get_mut(need) {
                list.push(at);
            }
        }
    }
    let mut free: std::collections::BTreeSet<usize> = waits_for
        .iter()
        .enumerate()
        .filter(|(_, count)| **count == 0)
        .map(|(at, _)| at)
        .collect();
    let mut order = Vec::with_capacity(services.len());
    while let Some(at) = free.pop_first() {
        order.push(at);
        for dependant in dependants.get(at).into_iter().flatten() {
            if let Some(count) = waits_for.get_mut(*dependant) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    free.insert(*dependant);
                }
            }
        }
    }
    let circular = waits_for
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(at, _)| at);
    order.extend(circular);
    order
}
