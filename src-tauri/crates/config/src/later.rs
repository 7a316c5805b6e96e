//! Sections whose features are not there yet: judged in full, so that they stand when the features
//! come, and each answered with a warning.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use toml::de::DeValue;

use crate::fields::{At, Fields, short_name, type_name};
use crate::report::{Finding, Report};
use crate::{GatewayConfig, OtlpConfig, address, names, probe, secrets};

/// What is kept of them already.
pub(crate) struct Later {
    pub(crate) gateway: Option<At<GatewayConfig>>,
    pub(crate) otlp: Option<At<OtlpConfig>>,
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

pub(crate) fn read(root: &Fields<'_, '_>, allow_remote: bool) -> Later {
    let later = Later {
        gateway: gateway(root, allow_remote),
        otlp: otlp(root, allow_remote),
    };
    each(root, "providers", "[providers.openai]", provider);
    each(root, "keys", "[keys.app]", key);
    each(root, "routes", "[routes.chat]", route);
    if let Some(budgets) = root.section("budgets", &["monthly_usd"], "[budgets]") {
        unused(&budgets);
        budgets.amount("monthly_usd", "200");
    }
    alerts(root);
    if let Some(incidents) = root.section(
        "incidents",
        &["mitigate_after", "resolve_after"],
        "[incidents]",
    ) {
        unused(&incidents);
        incidents.duration("mitigate_after", "60s");
        incidents.duration("resolve_after", "10m");
    }
    later
}

fn unused(fields: &Fields<'_, '_>) {
    fields.report.warn(
        &fields.at,
        Finding::new(format!("[{}]: accepted, not used yet", fields.path)).unquoted(),
    );
}

fn gateway(root: &Fields<'_, '_>, allow_remote: bool) -> Option<At<GatewayConfig>> {
    let fields = root.section("gateway", &["listen", "allowed_hosts"], "[gateway]")?;
    unused(&fields);
    let listen = address::bound(&fields, loopback(11435), allow_remote);
    Some(At {
        span: listen.span,
        value: GatewayConfig {
            listen: listen.value,
            allowed_hosts: address::hosts(&fields, "allowed_hosts"),
        },
    })
}

fn otlp(root: &Fields<'_, '_>, allow_remote: bool) -> Option<At<OtlpConfig>> {
    let fields = root.section("otlp", &["listen"], "[otlp]")?;
    unused(&fields);
    let listen = address::bound(&fields, loopback(4318), allow_remote);
    Some(At {
        span: listen.span,
        value: OtlpConfig {
            listen: listen.value,
        },
    })
}

/// Reads every named table of a section.
fn each(
    root: &Fields<'_, '_>,
    section: &str,
    example: &str,
    read: impl Fn(&Report<'_>, &Entry<'_, '_>),
) {
    let Some(fields) = root.names(section, example) else {
        return;
    };
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
        fields.report.warn(
            &name.span,
            Finding::new(format!("[{path}]: accepted, not used yet")).unquoted(),
        );
        read(
            fields.report,
            &Entry {
                table,
                at: name.span,
                path,
                report: fields.report,
            },
        );
    }
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

/// A named table of a section.
struct Entry<'r, 'd> {
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

fn provider(_: &Report<'_>, entry: &Entry<'_, '_>) {
    let fields = entry.known(&[
        "kind",
        "api_key",
        "base_url",
        "timeout",
        "first_byte_timeout",
        "idle_timeout",
    ]);
    let kinds = [("openai", ()), ("anthropic", ()), ("ollama", ())];
    if fields.get("kind").is_none() {
        fields.report.error(
            &fields.at,
            Finding::new(format!("`{}` has no kind", fields.path))
                .suggest("add kind = \"openai\", \"anthropic\" or \"ollama\""),
        );
    }
    fields.choice("kind", &kinds);
    secret(&fields, "api_key", "OPENAI_API_KEY");
    url(&fields, "base_url", "https://api.openai.com/v1");
    for key in ["timeout", "first_byte_timeout", "idle_timeout"] {
        fields.span_of_time(key, "120s");
    }
}

fn key(_: &Report<'_>, entry: &Entry<'_, '_>) {
    let fields = entry.known(&["secret", "limits"]);
    secret(&fields, "secret", "APP_KEY");
    if let Some(limits) = fields.section(
        "limits",
        &[
            "requests_per_minute",
            "tokens_per_minute",
            "usd_per_day",
            "models",
        ],
        "limits = { requests_per_minute = 60 }",
    ) {
        limits.whole("requests_per_minute", 1..=u64::from(u32::MAX), 60);
        limits.whole("tokens_per_minute", 1..=u64::from(u32::MAX), 100_000);
        limits.amount("usd_per_day", "5");
        limits.texts("models", "[\"chat\"]");
    }
}

fn route(report: &Report<'_>, entry: &Entry<'_, '_>) {
    const EXAMPLE: &str = "[\"openai/gpt-4o\", \"ollama/llama3.2\"]";
    let fields = entry.known(&["targets"]);
    let list = fields.texts("targets", EXAMPLE);
    if fields.get("targets").is_none() || list.as_ref().is_some_and(|l| l.value.is_empty()) {
        report.error(
            &fields.key_span("targets"),
            Finding::new(format!("`{}` has no targets", fields.path))
                .suggest(format!("add targets = {EXAMPLE}")),
        );
    }
    for target in list.map(|l| l.value).unwrap_or_default() {
        let whole = target
            .value
            .split_once('/')
            .is_some_and(|(provider, model)| !provider.is_empty() && !model.is_empty());
        if !whole {
            report.error(
                &target.span,
                Finding::new(format!(
                    "`{}` must be provider/model",
                    fields.path_of("targets")
                ))
                .suggest(format!("for example targets = {EXAMPLE}")),
            );
        }
    }
}

fn alerts(root: &Fields<'_, '_>) {
    let Some(alerts) = root.section("alerts", &["group_wait", "slack", "pagerduty"], "[alerts]")
    else {
        return;
    };
    unused(&alerts);
    alerts.duration("group_wait", "30s");
    if let Some(slack) = alerts.section("slack", &["webhook"], "[alerts.slack]") {
        unused(&slack);
        secret(&slack, "webhook", "SLACK_WEBHOOK_URL");
    }
    if let Some(pagerduty) =
        alerts.section("pagerduty", &["routing_key", "url"], "[alerts.pagerduty]")
    {
        unused(&pagerduty);
        secret(&pagerduty, "routing_key", "PAGERDUTY_KEY");
        url(&pagerduty, "url", "https://events.pagerduty.com");
    }
}

fn url(fields: &Fields<'_, '_>, key: &str, example: &str) {
    let Some(text) = fields.open_text(key, example) else {
        return;
    };
    if let Err(why) = probe::check_url(&text.value, &["http", "https"]) {
        fields.report.error(
            &text.span,
            Finding::new(format!("`{}` {why}", fields.path_of(key)))
                .suggest(format!("for example {key} = \"{example}\"")),
        );
    }
}

/// A place where a secret is kept: `{ env = … }`, `{ keychain = … }` or `{ file = … }`.
fn secret(fields: &Fields<'_, '_>, key: &str, variable: &str) {
    const PLACES: &[&str] = &["env", "keychain", "file"];
    let Some(value) = fields.get(key) else {
        return;
    };
    let example = format!("{key} = {{ env = \"{variable}\" }}");
    let DeValue::Table(_) = value.get_ref() else {
        fields.report.error(
            &value.span(),
            Finding::new(format!(
                "`{}` stands in this file, but secrets must not",
                fields.path_of(key)
            ))
            .text(format!("{key} = …"))
            .suggest(format!(
                "say where it is kept: {example}, {{ keychain = \"…\" }} or {{ file = \"…\" }}"
            )),
        );
        return;
    };
    let Some(place) = fields.section(key, PLACES, &example) else {
        return;
    };
    let named: Vec<&str> = PLACES
        .iter()
        .copied()
        .filter(|name| place.get(name).is_some())
        .collect();
    if named.len() != 1 {
        fields.report.error(
            &place.at,
            Finding::new(format!(
                "`{}` must name one place where the secret is kept",
                fields.path_of(key)
            ))
            .suggest(example),
        );
        return;
    }
    for name in named {
        let Some(text) = place.open_text(name, variable) else {
            continue;
        };
        let plain = text
            .value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_');
        if name == "env" && (!plain || text.value.starts_with(|c: char| c.is_ascii_digit())) {
            fields.report.error(
                &text.span,
                Finding::new(format!(
                    "`{}` must be the name of an environment variable",
                    place.path_of("env")
                ))
                .text(format!("{key} = …"))
                .suggest(example.clone()),
            );
        }
    }
}
