//! Judges the services together: dependencies exist and have an order, no address is used twice.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::CockpitConfig;
use crate::address::Address;
use crate::fields::At;
use crate::report::{Finding, Report};
use crate::service::Placed;
use crate::suggest;

/// Where the cockpit itself listens.
pub(crate) struct Doors<'a> {
    pub(crate) cockpit: &'a At<CockpitConfig>,
    pub(crate) gateway: Option<At<SocketAddr>>,
    pub(crate) otlp: Option<At<SocketAddr>>,
}

/// Reports what is wrong between the parts.
pub(crate) fn together(report: &Report<'_>, doors: &Doors<'_>, services: &[Placed]) {
    dependencies(report, services);
    balanced(report, doors.cockpit.value.allow_remote, services);
    addresses(report, doors, services);
}

/// The address of a service with replicas, or behind the gateway, is bound by the cockpit, not by the service.
fn balanced(report: &Report<'_>, allow_remote: bool, services: &[Placed]) {
    let shared = services
        .iter()
        .filter(|service| service.spec.has_own_ports())
        .filter_map(|service| Some((service, service.listen.as_ref()?)));
    for (service, listen) in shared {
        if !allow_remote && !listen.value.is_loopback() {
            report.error(
                &listen.span,
                Finding::new(format!(
                    "`services.{}.listen` is reachable from other machines, which is not allowed here",
                    service.spec.name
                ))
                .suggest(format!(
                    "write 127.0.0.1:{}, or allow it with `allow_remote = true` under [cockpit]",
                    listen.value.port
                )),
            );
        }
    }
}

fn dependencies(report: &Report<'_>, services: &[Placed]) {
    let index: HashMap<&str, usize> = services
        .iter()
        .enumerate()
        .map(|(at, service)| (service.spec.name.as_str(), at))
        .collect();
    // Edges that exist, with their places.
    let mut edges: Vec<Vec<(usize, &At<String>)>> = Vec::with_capacity(services.len());
    for service in services {
        let mut out = Vec::new();
        for wanted in &service.depends_on {
            if let Some(at) = index.get(wanted.value.as_str()) {
                out.push((*at, wanted));
                continue;
            }
            let names = services
                .iter()
                .map(|s| s.spec.name.as_str())
                .filter(|name| *name != service.spec.name)
                .take(1000);
            let suggestion = match suggest::nearest(&wanted.value, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name a service of this file, as in depends_on = [\"database\"]".to_owned(),
            };
            report.error(
                &wanted.span,
                Finding::new(format!(
                    "`services.{}` depends on a service that does not exist",
                    service.spec.name
                ))
                .suggest(suggestion),
            );
        }
        edges.push(out);
    }
    cycles(report, services, &edges);
}

/// Walks depth first with a stack of its own; an edge back into the walk closes a cycle.
fn cycles(report: &Report<'_>, services: &[Placed], edges: &[Vec<(usize, &At<String>)>]) {
    let mut done = vec![false; services.len()];
    let mut on_walk = vec![false; services.len()];
    for start in 0..services.len() {
        // (service, next edge to follow)
        let mut walk: Vec<(usize, usize)> = vec![(start, 0)];
        if done.get(start) == Some(&true) {
            continue;
        }
        mark(&mut on_walk, start, true);
        while let Some((node, next)) = walk.last_mut() {
            let node = *node;
            let edge = edges.get(node).and_then(|out| out.get(*next));
            *next += 1;
            match edge {
                None => {
                    walk.pop();
                    mark(&mut on_walk, node, false);
                    mark(&mut done, node, true);
                }
                Some((to, place)) if on_walk.get(*to) == Some(&true) => {
                    let names: Vec<&str> = walk
                        .iter()
                        .map(|(at, _)| *at)
                        .skip_while(|at| at != to)
                        .chain([*to])
                        .filter_map(|at| services.get(at))
                        .map(|s| s.spec.name.as_str())
                        .collect();
                    report.error(
                        &place.span,
                        Finding::new(format!(
                            "services depend on each other in a circle: {}",
                            names.join(" → ")
                        ))
                        .suggest("remove one of these dependencies"),
                    );
                }
                Some((to, _)) if done.get(*to) == Some(&true) => {}
                Some((to, _)) => {
                    mark(&mut on_walk, *to, true);
                    walk.push((*to, 0));
                }
            }
        }
    }
}

fn mark(marks: &mut [bool], at: usize, value: bool) {
    if let Some(mark) = marks.get_mut(at) {
        *mark = value;
    }
}

fn addresses(report: &Report<'_>, doors: &Doors<'_>, services: &[Placed]) {
    let cockpit = At {
        value: doors.cockpit.value.listen,
        span: doors.cockpit.span.clone(),
    };
    let own = [
        ("cockpit", Some(&cockpit)),
        ("gateway", doors.gateway.as_ref()),
        ("otlp", doors.otlp.as_ref()),
    ];
    let mut taken: Vec<(String, At<Address>)> = own
        .into_iter()
        .filter_map(|(name, at)| {
            let at = at?;
            Some((
                name.to_owned(),
                At {
                    value: at.value.into(),
                    span: at.span.clone(),
                },
            ))
        })
        .collect();
    taken.extend(services.iter().filter_map(|service| {
        let listen = service.listen.clone()?;
        Some((format!("services.{}", service.spec.name), listen))
    }));
    taken.sort_by_key(|(_, at)| at.span.start);
    let mut by_port: HashMap<u16, Vec<&(String, At<Address>)>> = HashMap::new();
    for entry in &taken {
        let (name, at) = entry;
        let same = by_port.entry(at.value.port).or_default();
        if let Some((other, first)) = same
            .iter()
            .find(|(_, other)| other.value.collides(&at.value))
        {
            let place = if first.span.is_empty() {
                "by default".to_owned()
            } else {
                format!("in line {}", report.line(first.span.start))
            };
            report.error(
                &at.span,
                Finding::new(format!(
                    "`{name}` uses an address that `{other}` has {place}"
                ))
                .text(at.value.to_string())
                .suggest(format!("give `{name}` another one with `listen`")),
            );
        }
        same.push(entry);
    }
}
