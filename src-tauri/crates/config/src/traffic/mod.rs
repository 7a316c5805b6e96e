//! The gateway's settings: `[gateway]`, `[providers]`, `[keys]`, `[routes]`, `[limits]`, `[budgets]`.
//!
//! The gateway opens when there is a `[gateway]` or a provider. A service of kind `ollama` is a
//! provider of its own name unless one of that name is written out.

mod keys;
mod providers;
mod routes;
mod rules;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use cockpit_model::traffic::{
    Budget, CommonLimits, FrontSpec, ProviderKind, ProviderSpec, TrafficSpec,
};
use cockpit_model::{ServiceSpec, Usd};
use toml::de::DeValue;

use crate::address::Address;
use crate::fields::{At, Fields, short_name, type_name};
use crate::files::Paths;
use crate::report::{Finding, Report};
use crate::{address, names, secrets};

/// `[otlp]`.
pub(crate) fn otlp(root: &Fields<'_, '_>, allow_remote: bool) -> Option<At<SocketAddr>> {
    let fields = root.section("otlp", &["listen"], "[otlp]")?;
    Some(address::bound(&fields, loopback(4318), allow_remote))
}

/// Everything the gateway is made of, placed at its `listen`; `None`: there is to be none.
pub(crate) fn read(
    root: &Fields<'_, '_>,
    paths: &Paths<'_>,
    allow_remote: bool,
    services: &[ServiceSpec],
) -> Option<At<TrafficSpec>> {
    let fields = root.section(
        "gateway",
        &[&["listen", "allowed_hosts"], rules::KEYS].concat(),
        "[gateway]",
    );
    let keys = each(root, "keys", "[keys.app]", |entry| keys::read(entry, paths));
    let routes = each(root, "routes", "[routes.chat]", routes::read);
    let limits = common_limits(root);
    let budget = budget(root);
    let behind = || {
        let services = services.iter();
        services.filter(|service| service.options.behind_gateway)
    };
    let wanted = fields.is_some() || root.get("providers").is_some() || behind().next().is_some();
    let (listen, allowed_hosts, common) = match &fields {
        Some(fields) => (
            address::bound(fields, loopback(11435), allow_remote),
            address::hosts(fields, "allowed_hosts"),
            rules::read(fields),
        ),
        None => (
            At {
                value: loopback(11435),
                span: root.key_span("providers"),
            },
            Vec::new(),
            rules::Written::default(),
        ),
    };
    let written = each(root, "providers", "[providers.openai]", |entry| {
        providers::read(entry, paths, services, listen.value)
    });
    if !wanted {
        for section in ["keys", "routes", "limits", "budgets"] {
            if root.get(section).is_some() {
                root.report.warn(
                    &root.key_span(section),
                    Finding::new(format!("[{section}] has no effect: there is no gateway"))
                        .suggest("add [gateway]"),
                );
            }
        }
        return None;
    }
    let common = common.over(None);
    let mut providers: Vec<_> = written.into_iter().map(|provider| provider.value).collect();
    providers::add_services(&mut providers, services);
    let fronts = behind()
        .filter_map(|service| front(root, &providers, service))
        .collect();
    // Also of a provider that was written wrongly: one mistake is told once.
    let named: Vec<&str> = root
        .names("providers", "")
        .map(|fields| fields.entries())
        .unwrap_or_default()
        .into_iter()
        .map(|(name, _)| name.value)
        .chain(providers.iter().map(|provider| provider.name.as_str()))
        .collect();
    let routes = routes
        .into_iter()
        .map(|route| routes::judge(root.report, route, &named, &common))
        .collect();
    Some(At {
        span: listen.span,
        value: TrafficSpec {
            listen: listen.value,
            allowed_hosts,
            rules: common,
            providers,
            keys: keys.into_iter().map(|key| key.value).collect(),
            routes,
            limits,
            budget,
            fronts,
        },
    })
}

/// The gateway at a service's address, and the provider that the service is.
fn front(
    root: &Fields<'_, '_>,
    providers: &[ProviderSpec],
    service: &ServiceSpec,
) -> Option<FrontSpec> {
    let listen = service.listen.as_deref()?;
    let listen = Address::parse(listen).ok()?.socket()?;
    let own = |one: &&ProviderSpec| {
        one.behind_gateway && one.service.as_deref() == Some(service.name.as_str())
    };
    let is_ollama = |one: &&ProviderSpec| one.kind == ProviderKind::Ollama;
    if let Some(provider) = providers.iter().filter(own).find(is_ollama) {
        let origins = service.env.get("OLLAMA_ORIGINS").map(String::as_str);
        let origins = origins.unwrap_or_default().split(',').map(str::trim);
        return Some(FrontSpec {
            service: service.name.clone(),
            provider: provider.name.clone(),
            listen,
            origins: origins
                .filter(|one| !one.is_empty())
                .map(str::to_owned)
                .collect(),
        });
    }
    // Its name went to somebody else.
    let written = root.names("providers", "")?;
    root.report.error(
        &written.key_span(&service.name),
        Finding::new(format!(
            "`providers.{0}` is not the Ollama of `services.{0}`, which runs behind the gateway",
            service.name
        ))
        .suggest(
            "give the provider another name, or remove its base_url and write kind = \"ollama\"",
        ),
    );
    None
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn common_limits(root: &Fields<'_, '_>) -> CommonLimits {
    let Some(fields) = root.section("limits", &["user", "agent"], "[limits.user]") else {
        return CommonLimits::default();
    };
    CommonLimits {
        user: keys::limits(&fields, "user"),
        agent: keys::limits(&fields, "agent"),
    }
}

fn budget(root: &Fields<'_, '_>) -> Budget {
    let Some(fields) = root.section("budgets", &["daily_usd", "monthly_usd"], "[budgets]") else {
        return Budget::default();
    };
    Budget {
        daily: dollars(&fields, "daily_usd", "10"),
        monthly: dollars(&fields, "monthly_usd", "200"),
    }
}

/// An amount of dollars.
fn dollars(fields: &Fields<'_, '_>, key: &str, example: &str) -> Option<Usd> {
    let amount = fields.amount(key, example)?;
    let usd = Usd::from_dollars(amount);
    if usd.is_none() {
        fields.report.error(
            &fields.key_span(key),
            Finding::new(format!(
                "`{}` must be below nine million",
                fields.path_of(key)
            ))
            .suggest(format!("for example {key} = {example}")),
        );
    }
    usd
}

/// A named table of a section.
struct Entry<'r, 'd> {
    name: String,
    table: &'r toml::de::DeTable<'d>,
    at: Range<usize>,
    path: String,
    report: &'r Report<'r>,
}

impl<'r, 'd> Entry<'r, 'd> {
    fn known(&self, keys: &[&str]) -> Fields<'r, 'd> {
        Fields::known(
            self.report,
            self.table,
            self.at.clone(),
            self.path.clone(),
            keys,
        )
    }
}

/// Reads every named table of a section, each placed at its name.
fn each<'r, 'd, T>(
    root: &Fields<'r, 'd>,
    section: &str,
    example: &str,
    read: impl Fn(&Entry<'r, 'd>) -> Option<T>,
) -> Vec<At<T>> {
    let Some(fields) = root.names(section, example) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (name, value) in fields.entries() {
        // A route may be called as clients call models (`llama3.2:latest`); a `/` would mean a provider.
        let judged = if section == "routes" {
            check_route(name.value)
        } else {
            names::check(name.value)
        };
        if let Err(why) = judged {
            fields.report.error(
                &name.span,
                Finding::new(format!("a name in `{section}` {why}"))
                    .text(short_name(name.value))
                    .suggest(format!("for example {example}")),
            );
            continue;
        }
        let path = fields.path_of(name.value);
        let DeValue::Table(table) = value.get_ref() else {
            fields.report.error(
                &name.span,
                Finding::new(format!(
                    "`{path}` must be a table, not {}",
                    type_name(value.get_ref())
                ))
                .text(name.value)
                .suggest(format!("for example {example}")),
            );
            continue;
        };
        let entry = Entry {
            name: name.value.to_owned(),
            table,
            at: name.span.clone(),
            path,
            report: fields.report,
        };
        all.extend(read(&entry).map(|value| At {
            value,
            span: name.span,
        }));
    }
    all
}

fn check_route(name: &str) -> Result<(), &'static str> {
    if name.trim().is_empty() {
        return Err("is empty");
    }
    if name.contains('/') {
        return Err("holds a `/`");
    }
    if name.chars().count() > 128 {
        return Err("is longer than 128 characters");
    }
    if name.contains(char::is_whitespace) || name.contains(char::is_control) {
        return Err("holds a blank");
    }
    if secrets::is_secret(name) {
        return Err("looks like a secret");
    }
    Ok(())
}
