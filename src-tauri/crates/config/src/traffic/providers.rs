//! `[providers.NAME]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use cockpit_model::ServiceSpec;
use cockpit_model::spec::Kind;
use cockpit_model::traffic::{PriceSpec, ProviderKind, ProviderSpec, QueueSpec};
use toml::de::DeValue;

use super::{Entry, dollars};
use crate::address::Address;
use crate::fields::{Fields, short_name};
use crate::files::Paths;
use crate::report::Finding;
use crate::{probe, secret_place, suggest};

const KEYS: &[&str] = &[
    "kind",
    "api_key",
    "base_url",
    "timeout",
    "first_byte_timeout",
    "idle_timeout",
    "service",
    "queue",
    "prices",
];

const KINDS: &[(&str, ProviderKind)] = &[
    ("openai", ProviderKind::OpenAi),
    ("anthropic", ProviderKind::Anthropic),
    ("ollama", ProviderKind::Ollama),
];

/// As the official clients wait.
const TIMEOUT: Duration = Duration::from_mins(10);
/// A local model may have to be read from the disk first: tens of gigabytes.
const FIRST_BYTE_LOCAL: Duration = Duration::from_mins(5);
const FIRST_BYTE: Duration = Duration::from_mins(2);
const IDLE: Duration = Duration::from_mins(1);
/// What a model server on one machine answers at once without getting slower for everybody.
const LOCAL_QUEUE: QueueSpec = QueueSpec {
    concurrency: 4,
    waiting: 256,
    max_wait: Duration::from_mins(2),
};

/// Behind the gateway it is to be as patient as it is by itself: its clients were never told to hurry.
const BEHIND_TIMEOUT: Duration = Duration::from_hours(1);
const BEHIND_FIRST_BYTE: Duration = Duration::from_mins(30);
const BEHIND_IDLE: Duration = Duration::from_mins(10);
/// As many wait as Ollama itself lets wait.
const BEHIND_QUEUE: QueueSpec = QueueSpec {
    concurrency: LOCAL_QUEUE.concurrency,
    waiting: 512,
    max_wait: Duration::from_mins(30),
};

fn put_behind(provider: &mut ProviderSpec) {
    provider.behind_gateway = true;
    provider.timeout = BEHIND_TIMEOUT;
    provider.first_byte_timeout = BEHIND_FIRST_BYTE;
    provider.idle_timeout = BEHIND_IDLE;
    provider.queue = provider.queue.map(|_| BEHIND_QUEUE);
}

fn usual(name: &str, kind: ProviderKind, base_url: String) -> ProviderSpec {
    let local = kind == ProviderKind::Ollama;
    ProviderSpec {
        name: name.to_owned(),
        kind,
        base_url,
        api_key: None,
        timeout: TIMEOUT,
        first_byte_timeout: if local { FIRST_BYTE_LOCAL } else { FIRST_BYTE },
        idle_timeout: IDLE,
        service: None,
        behind_gateway: false,
        queue: local.then_some(LOCAL_QUEUE),
        prices: BTreeMap::new(),
    }
}

const fn usual_url(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::OpenAi => "https://api.openai.com/v1",
        ProviderKind::Anthropic => "https://api.anthropic.com",
        ProviderKind::Ollama => "http://127.0.0.1:11434",
    }
}

pub(super) fn read(
    entry: &Entry<'_, '_>,
    paths: &Paths<'_>,
    services: &[ServiceSpec],
    gateway: SocketAddr,
) -> Option<ProviderSpec> {
    let fields = entry.known(KEYS);
    if fields.get("kind").is_none() {
        fields.report.error(
            &fields.at,
            Finding::new(format!("`{}` has no kind", fields.path))
                .suggest("add kind = \"openai\", \"anthropic\" or \"ollama\""),
        );
    }
    let kind = fields.choice("kind", KINDS);
    let api_key = secret_place::read(&fields, paths, "api_key", "OPENAI_API_KEY");
    let base_url = base_url(&fields);
    let asked_at = base_url.as_deref().and_then(Address::of_url);
    if asked_at.is_some_and(|at| at.collides(&gateway.into())) {
        fields.report.error(
            &fields.key_span("base_url"),
            Finding::new(format!(
                "`{}` is the gateway's own address: it would ask itself",
                fields.path_of("base_url")
            ))
            .suggest("name the server that is to answer"),
        );
    }
    let times = ["timeout", "first_byte_timeout", "idle_timeout"]
        .map(|key| fields.span_of_time(key, "120s"));
    let service = service(&fields, services);
    let queue = queue(&fields);
    let prices = prices(&fields);
    let kind = kind?;
    let own = services
        .iter()
        .find(|one| service.is_none() && one.name == entry.name && one.kind == Kind::Ollama);
    let base_url = base_url
        .or_else(|| own.map(address_of))
        .unwrap_or_else(|| usual_url(kind).to_owned());
    // Whatever its path: Ollama answers OpenAI's protocol under /v1.
    let at = services.iter().find(|one| {
        let listen = one.listen.as_deref().and_then(|at| Address::parse(at).ok());
        one.kind == Kind::Ollama
            && listen.is_some_and(|listen| {
                Address::of_url(&base_url).is_some_and(|at| at.collides(&listen))
            })
    });
    // Whoever is shown a key of its own hands on to a vendor as a rule.
    if service.is_none() && at.is_none() && api_key.is_none() {
        hint_service(&fields, services);
    }
    let service = service.or_else(|| at.map(|one| one.name.clone()));
    let mut provider = usual(&entry.name, kind, base_url);
    // Who asks it by its address means the service, not the gateway that took it.
    if let Some(at) = at.filter(|one| one.options.behind_gateway) {
        put_behind(&mut provider);
        provider.service = Some(at.name.clone());
    }
    let [timeout, first_byte, idle] = times;
    provider.timeout = timeout.unwrap_or(provider.timeout);
    // Who shortens the whole answer means its parts too.
    provider.first_byte_timeout = first_byte
        .unwrap_or(provider.first_byte_timeout)
        .min(provider.timeout);
    provider.idle_timeout = idle.unwrap_or(provider.idle_timeout).min(provider.timeout);
    provider.queue = queue.or(provider.queue);
    provider.api_key = api_key;
    provider.service = provider.service.or(service);
    provider.prices = prices;
    Some(provider)
}

/// A provider that is asked where a service listens, and does not say that it is that service. Only a person knows whether
/// it is: what answers there may hand on to somebody who wants money.
fn hint_service(fields: &Fields<'_, '_>, services: &[ServiceSpec]) {
    let Some(text) = fields
        .get("base_url")
        .and_then(|url| url.get_ref().as_str())
    else {
        return;
    };
    let Some(at) = Address::of_url(text) else {
        return;
    };
    let listens = |one: &&ServiceSpec| {
        let listen = one.listen.as_deref().and_then(|at| Address::parse(at).ok());
        listen.is_some_and(|listen| listen.collides(&at))
    };
    let Some(service) = services.iter().find(listens) else {
        return;
    };
    fields.report.warn(
        &fields.key_span("base_url"),
        Finding::new(format!(
            "`{}` is where `services.{}` listens, but `{}` does not say that it is that service",
            fields.path_of("base_url"),
            service.name,
            fields.path
        ))
        .unquoted()
        .suggest(format!(
            "add service = \"{}\" if it answers by itself: it is then not asked while it is down, and costs nothing",
            service.name
        )),
    );
}

/// Every service of kind `ollama` answers for itself, unless it was written out.
pub(super) fn add_services(providers: &mut Vec<ProviderSpec>, services: &[ServiceSpec]) {
    for service in services.iter().filter(|one| one.kind == Kind::Ollama) {
        let behind = service.options.behind_gateway;
        let known = |one: &ProviderSpec| {
            let is_it = one.service.as_deref() == Some(service.name.as_str());
            // The gateway answers for it in its own protocol.
            let fits = !behind || one.behind_gateway && one.kind == ProviderKind::Ollama;
            one.name == service.name || is_it && fits
        };
        if !providers.iter().any(known) {
            let mut provider = usual(&service.name, ProviderKind::Ollama, address_of(service));
            provider.service = Some(service.name.clone());
            if behind {
                put_behind(&mut provider);
            }
            providers.push(provider);
        }
    }
}

/// Where a service of kind `ollama` answers.
fn address_of(service: &ServiceSpec) -> String {
    let address = service
        .listen
        .as_deref()
        .and_then(|listen| Address::parse(listen).ok());
    address.map_or_else(
        || usual_url(ProviderKind::Ollama).to_owned(),
        |address| format!("http://{}:{}", address.client_host(), address.port),
    )
}

fn base_url(fields: &Fields<'_, '_>) -> Option<String> {
    let text = fields.open_text("base_url", usual_url(ProviderKind::OpenAi))?;
    let judged = probe::check_url(&text.value, &["http", "https"]).and_then(|()| {
        if text.value.contains(['?', '#']) {
            Err("must end with its path")
        } else {
            Ok(())
        }
    });
    if let Err(why) = judged {
        fields.report.error(
            &text.span,
            Finding::new(format!("`{}` {why}", fields.path_of("base_url"))).suggest(format!(
                "for example base_url = \"{}\"",
                usual_url(ProviderKind::OpenAi)
            )),
        );
        return None;
    }
    Some(text.value.trim_end_matches('/').to_owned())
}

fn service(fields: &Fields<'_, '_>, services: &[ServiceSpec]) -> Option<String> {
    let named = fields.open_text("service", "ollama")?;
    if services.iter().any(|one| one.name == named.value) {
        return Some(named.value);
    }
    let names: Vec<&str> = services.iter().map(|one| one.name.as_str()).collect();
    fields.report.error(
        &named.span,
        Finding::new(format!(
            "`{}` names a service that does not exist",
            fields.path_of("service")
        ))
        .suggest_if(suggest::did_you_mean(&named.value, &names, "choose one of")),
    );
    None
}

fn queue(fields: &Fields<'_, '_>) -> Option<QueueSpec> {
    let keys = ["concurrency", "waiting", "max_wait"];
    let queue = fields.section("queue", &keys, "queue = { concurrency = 4 }")?;
    let count = |key, least, usual: u32| {
        let read = queue.whole(key, least..=100_000, u64::from(usual));
        read.and_then(|n| u32::try_from(n.value).ok())
            .unwrap_or(usual)
    };
    Some(QueueSpec {
        concurrency: count("concurrency", 1, LOCAL_QUEUE.concurrency),
        waiting: count("waiting", 0, LOCAL_QUEUE.waiting),
        max_wait: queue
            .span_of_time("max_wait", "2m")
            .unwrap_or(LOCAL_QUEUE.max_wait),
    })
}

/// `prices = { "gpt-4o" = { input = 2.5, output = 10 } }`, dollars for a million tokens.
fn prices(fields: &Fields<'_, '_>) -> BTreeMap<String, PriceSpec> {
    const EXAMPLE: &str = "prices = { \"gpt-4o\" = { input = 2.5, output = 10 } }";
    let Some(models) = fields.names("prices", EXAMPLE) else {
        return BTreeMap::new();
    };
    let mut prices = BTreeMap::new();
    for (model, value) in models.entries() {
        let DeValue::Table(table) = value.get_ref() else {
            models.wrong(model.value, value, "a table", EXAMPLE);
            continue;
        };
        let price = Fields::known(
            models.report,
            table,
            model.span.clone(),
            models.path_of(&short_name(model.value)),
            &["input", "output", "cached_input"],
        );
        for key in ["input", "output"] {
            if price.get(key).is_none() {
                price.report.error(
                    &price.at,
                    Finding::new(format!("`{}` has no {key}", price.path))
                        .suggest(format!("in dollars for a million tokens: {EXAMPLE}")),
                );
            }
        }
        let read = |key| dollars(&price, key, "2.5");
        let (input, output, cached_input) = (read("input"), read("output"), read("cached_input"));
        if let (Some(input), Some(output)) = (input, output) {
            prices.insert(
                model.value.to_owned(),
                PriceSpec {
                    input,
                    output,
                    cached_input,
                },
            );
        }
    }
    prices
}
