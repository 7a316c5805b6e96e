//! The settings in force: looked up once a request, replaced as a whole when the configuration changes.

use std::collections::HashMap;
use std::sync::Arc;

use cockpit_door::whence::is_loopback;
use cockpit_metering::price::{PriceBook, Priced, Tariff};
use cockpit_metering::wire::{Dialect, Reading};
use cockpit_model::traffic::{
    FrontSpec, KeySpec, ProviderKind, ProviderSpec, RouteSpec, Rules, Target, TrafficSpec,
};
use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};

use crate::endpoint::{Protocol, answers};
use crate::front::Front;
use crate::gate::{KeyHash, Keys, hash};
use crate::refusal::Refusal;
use crate::seams::{Secrets, Standing};
use crate::upstream::Origin;

/// See the module.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) spec: TrafficSpec,
    pub(crate) keys: Keys,
    providers: Vec<Arc<Provider>>,
    routes: HashMap<String, Arc<RouteSpec>>,
    /// Of the services that run behind the gateway.
    fronts: HashMap<String, Arc<Front>>,
    /// What could not be read, for people.
    pub(crate) trouble: Vec<String>,
}

/// A provider, ready to be asked.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) spec: ProviderSpec,
    place: Place,
    /// The path of its base URL, without a slash at the end.
    path: String,
    pub(crate) key: ProviderKey,
    pub(crate) tariff: Tariff,
}

/// The host and port a provider is asked at.
enum Place {
    /// Those of its base URL.
    Fixed(Origin, HeaderValue),
    /// It runs behind the gateway: the port its service was given, which may be another after each start.
    Behind {
        service: String,
        standing: Arc<dyn Standing>,
    },
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(origin, _) => write!(f, "Fixed({origin:?})"),
            Self::Behind { service, .. } => write!(f, "Behind({service})"),
        }
    }
}

/// It is not known where a provider is, or what it is asked for cannot be written as an address.
#[derive(Debug)]
pub(crate) struct NoAddress;

/// What a provider is shown.
pub(crate) enum ProviderKey {
    /// Its own key.
    Own(OwnKey),
    /// What the caller sent.
    Callers,
    /// Its key could not be read, for this reason.
    Unreadable(String),
}

/// A provider's own key, as headers say it.
pub(crate) struct OwnKey {
    pub(crate) plain: HeaderValue,
    pub(crate) bearer: HeaderValue,
}

impl OwnKey {
    /// `None`: no header can hold it.
    fn of(secret: &str) -> Option<Self> {
        let sensitive = |text: &str| {
            let mut value = HeaderValue::from_str(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        Some(Self {
            plain: sensitive(secret)?,
            bearer: sensitive(&format!("Bearer {secret}"))?,
        })
    }
}

impl std::fmt::Debug for ProviderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Own(_) => "Own(…)",
            Self::Callers => "Callers",
            Self::Unreadable(_) => "Unreadable",
        })
    }
}

impl Provider {
    /// Whether it runs here, where nobody asks for money; of a model, [`Tariff::is_free`] says so.
    pub(crate) const fn is_local(&self) -> bool {
        self.tariff.is_local()
    }

    /// What an answer to a request for a model cost and the version of what says so; `None`: it is not known.
    pub(crate) fn price(&self, reading: &Reading, asked: &str) -> Option<Priced> {
        let answered = reading.model.as_deref();
        self.tariff.cost(asked, answered, &reading.tokens()?)
    }

    /// Where it is, and what is said there for `host`.
    ///
    /// # Errors
    /// When that is not known.
    pub(crate) fn place(&self) -> Result<(Origin, HeaderValue), NoAddress> {
        match &self.place {
            Place::Fixed(origin, host) => Ok((origin.clone(), host.clone())),
            Place::Behind { service, standing } => {
                let port = standing.port(service).ok_or(NoAddress)?;
                let authority = Authority::try_from(format!("127.0.0.1:{port}"));
                let origin = Origin {
                    scheme: Scheme::HTTP,
                    authority: authority.map_err(|_| NoAddress)?,
                };
                let host = host(&origin).ok_or(NoAddress)?;
                Ok((origin, host))
            }
        }
    }

    /// Whether its base URL leads to this `host:port` of this machine.
    pub(crate) fn is_at(&self, listen: &str) -> bool {
        matches!(&self.place, Place::Fixed(origin, _) if is_at(origin, listen))
    }

    /// Its base URL for people: without the name and the password that one may hold.
    pub(crate) fn shown(&self) -> String {
        let Ok((origin, _)) = self.place() else {
            return self.spec.base_url.clone();
        };
        let place = without_name(&origin.authority);
        format!("{}://{place}{}", origin.scheme, self.path)
    }

    /// What it is asked for a path of a protocol.
    ///
    /// # Errors
    /// When it cannot be written as an address.
    pub(crate) fn path(&self, path_and_query: &str) -> Result<PathAndQuery, NoAddress> {
        // Ollama's own paths are beside its `/v1`, not beneath it.
        let base = match self.spec.kind {
            ProviderKind::Ollama if !path_and_query.starts_with("/v1") => {
                self.path.strip_suffix("/v1").unwrap_or(&self.path)
            }
            _ => &self.path,
        };
        let rest = match self.spec.kind {
            // `OpenAI`'s base URL ends in the `/v1` that the path begins with.
            ProviderKind::OpenAi => path_and_query.strip_prefix("/v1").unwrap_or(path_and_query),
            // Others name the server, but a person may have written the `/v1` all the same.
            ProviderKind::Anthropic | ProviderKind::Ollama if self.path.ends_with("/v1") => {
                path_and_query.strip_prefix("/v1").unwrap_or(path_and_query)
            }
            ProviderKind::Anthropic | ProviderKind::Ollama => path_and_query,
        };
        PathAndQuery::try_from(format!("{base}{rest}")).map_err(|_| NoAddress)
    }
}

/// Who is to answer a request.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    /// Whether the caller named the provider itself.
    pub(crate) named: bool,
    pub(crate) route: Option<Arc<RouteSpec>>,
    pub(crate) targets: Vec<(Target, Arc<Provider>)>,
}

impl InForce {
    /// Lets nobody in: until the secrets are read.
    pub(crate) fn empty(spec: TrafficSpec) -> Self {
        Self {
            spec,
            keys: Keys {
                needed: true,
                by_hash: HashMap::new(),
            },
            providers: Vec::new(),
            routes: HashMap::new(),
            fronts: HashMap::new(),
            trouble: Vec::new(),
        }
    }

    /// Reads the secrets that the settings name.
    pub(crate) async fn of(
        spec: TrafficSpec,
        stored: &[(KeySpec, KeyHash)],
        secrets: &dyn Secrets,
        standing: &Arc<dyn Standing>,
        prices: &PriceBook,
    ) -> Self {
        let mut trouble = Vec::new();
        let mut keys = Keys {
            needed: !spec.keys.is_empty() || !stored.is_empty(),
            by_hash: HashMap::new(),
        };
        for (key, hash) in stored {
            // What is written for a key of that name limits the stored one too.
            let written = spec.keys.iter().find(|one| one.name == key.name);
            if written.is_some_and(|one| one.secret.is_some()) {
                trouble.push(format!(
                    "the key that was made here for `{0}` opens nothing: cockpit.toml gives [keys.{0}] a secret of \
                     its own",
                    key.name
                ));
                continue;
            }
            let key = Arc::new(written.unwrap_or(key).clone());
            keys.by_hash.insert(*hash, key);
        }
        for key in &spec.keys {
            let Some(place) = &key.secret else {
                if !stored.iter().any(|(one, _)| one.name == key.name) {
                    trouble.push(format!(
                        "nobody can use the key `{0}`: it has no secret; `studio-cockpit key add {0}` makes one",
                        key.name
                    ));
                }
                continue;
            };
            match secrets.read(place).await {
                Ok(secret) => {
                    keys.by_hash.insert(hash(&secret), Arc::new(key.clone()));
                }
                Err(why) => trouble.push(format!("nobody can use the key `{}`: {why}", key.name)),
            }
        }
        let mut providers = Vec::new();
        for provider in &spec.providers {
            let key = match &provider.api_key {
                None => ProviderKey::Callers,
                Some(place) => match secrets.read(place).await.and_then(|secret| {
                    OwnKey::of(&secret).ok_or_else(|| {
                        "its api_key holds what no header can, such as a line break; write it anew"
                            .to_owned()
                    })
                }) {
                    Ok(own) => ProviderKey::Own(own),
                    Err(why) => {
                        trouble.push(format!("`{}` cannot be asked: {why}", provider.name));
                        ProviderKey::Unreadable(why)
                    }
                },
            };
            match place_of(&provider.base_url) {
                Some((origin, host, path)) => providers.push(Arc::new(Provider {
                    place: match &provider.service {
                        Some(service) if provider.behind_gateway => Place::Behind {
                            service: service.clone(),
                            standing: Arc::clone(standing),
                        },
                        _ => Place::Fixed(origin, host),
                    },
                    tariff: Tariff::of(provider, prices),
                    spec: provider.clone(),
                    path,
                    key,
                })),
                None => trouble.push(format!(
                    "`{}` cannot be asked: its base_url is no URL",
                    provider.name
                )),
            }
        }
        let routes = spec
            .routes
            .iter()
            .map(|route| (route.name.clone(), Arc::new(route.clone())))
            .collect();
        let front = |front: &FrontSpec| {
            let its = |one: &&Arc<Provider>| one.spec.name == front.provider;
            let provider = Arc::clone(providers.iter().find(its)?);
            let spec = front.clone();
            Some((front.service.clone(), Arc::new(Front { spec, provider })))
        };
        let fronts = spec.fronts.iter().filter_map(front).collect();
        Self {
            spec,
            keys,
            providers,
            routes,
            fronts,
            trouble,
        }
    }

    pub(crate) fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// The address of a service that runs behind the gateway.
    pub(crate) fn front(&self, service: &str) -> Option<&Arc<Front>> {
        self.fronts.get(service)
    }

    /// Whom a model's plain name may mean; empty where the name says itself, or leaves no choice.
    pub(crate) fn candidates(&self, model: &str, dialect: Dialect) -> Vec<Arc<Provider>> {
        let says_itself = self.routes.contains_key(model)
            || model
                .split_once('/')
                .is_some_and(|(name, rest)| !rest.is_empty() && self.provider(name).is_some());
        if says_itself {
            return Vec::new();
        }
        let able = |one: &&Arc<Provider>| answers(one.spec.kind, dialect);
        let able: Vec<_> = self.providers.iter().filter(able).cloned().collect();
        if able.len() < 2 { Vec::new() } else { able }
    }

    pub(crate) fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|one| one.spec.name == name)
    }

    /// The rules for a chain.
    pub(crate) fn rules<'a>(&'a self, chain: &'a Chain) -> &'a Rules {
        chain
            .route
            .as_ref()
            .map_or(&self.spec.rules, |route| &route.rules)
    }

    /// Who answers for what a caller wrote as its model: a route, `provider/model`, or a model that some
    /// provider has (`has` knows which).
    ///
    /// # Errors
    /// When nobody does, or nobody who speaks the caller's protocol.
    pub(crate) fn chain(
        &self,
        model: &str,
        dialect: Dialect,
        protocol: Protocol,
        has: impl Fn(&Provider, &str) -> bool,
    ) -> Result<Chain, Refusal> {
        let able = |provider: &&Arc<Provider>| answers(provider.spec.kind, dialect);
        let mismatch = |what: String| {
            Refusal::new(
                "caller_protocol_mismatch",
                format!(
                    "{what} cannot be asked in this protocol; use an endpoint that its provider has"
                ),
            )
        };
        if let Some(route) = self.routes.get(model) {
            let targets: Vec<_> = route
                .targets
                .iter()
                .filter_map(|target| Some((target.clone(), self.provider(&target.provider)?)))
                .filter(|(_, provider)| able(provider))
                .map(|(target, provider)| (target, Arc::clone(provider)))
                .collect();
            if targets.is_empty() {
                return Err(mismatch(format!("no target of the route `{model}`")));
            }
            return Ok(Chain {
                named: false,
                route: Some(Arc::clone(route)),
                targets,
            });
        }
        let single = |provider: &Arc<Provider>, model: &str, named| Chain {
            named,
            route: None,
            targets: vec![(
                Target {
                    provider: provider.spec.name.clone(),
                    model: model.to_owned(),
                },
                Arc::clone(provider),
            )],
        };
        if let Some((name, rest)) = model.split_once('/')
            && !rest.is_empty()
            && let Some(provider) = self.provider(name)
        {
            if !able(&provider) {
                return Err(mismatch(format!("`{model}`")));
            }
            return Ok(single(provider, rest, true));
        }
        let mut candidates = self.providers.iter().filter(able);
        let Some(first) = candidates.next() else {
            return Err(Refusal::new(
                "caller_unknown_model",
                format!(
                    "no provider of this cockpit answers such requests, whatever the model (`{model}`); \
                     add one to [providers] in cockpit.toml"
                ),
            ));
        };
        if candidates.next().is_none() {
            return Ok(single(first, model, true));
        }
        let able = || self.providers.iter().filter(able);
        let chosen = able()
            .find(|provider| has(provider, model))
            // Nobody is known to have it. Its first language says who most likely does; who is asked
            // answers for itself whether it has it.
            .or_else(|| able().find(|provider| provider.spec.kind == protocol.home()))
            .unwrap_or(first);
        Ok(single(chosen, model, false))
    }

    /// Who gets what we do not understand: the first provider whose first language it is, else the first
    /// that speaks it.
    pub(crate) fn for_protocol(&self, protocol: Protocol) -> Option<&Arc<Provider>> {
        let home = self
            .providers
            .iter()
            .find(|provider| provider.spec.kind == protocol.home());
        home.or_else(|| {
            self.providers
                .iter()
                .find(|provider| protocol.spoken_by(provider.spec.kind))
        })
    }
}

fn place_of(base_url: &str) -> Option<(Origin, HeaderValue, String)> {
    let parts = base_url.parse::<Uri>().ok()?.into_parts();
    let path = parts.path_and_query.as_ref().map_or("", |path| path.path());
    let origin = Origin {
        scheme: parts.scheme?,
        authority: parts.authority?,
    };
    let host = host(&origin)?;
    Some((origin, host, path.trim_end_matches('/').to_owned()))
}

/// What is said for `host` at a place: the port where it is not the usual one.
fn host(origin: &Origin) -> Option<HeaderValue> {
    let Origin { scheme, authority } = origin;
    let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let said = match authority.port_u16() {
        Some(port) if port == usual => authority.host(),
        _ => without_name(authority),
    };
    HeaderValue::from_str(said).ok()
}

/// The name and the password that it may hold are for nobody to see.
fn without_name(authority: &Authority) -> &str {
    let authority = authority.as_str();
    authority.rsplit_once('@').map_or(authority, |(_, at)| at)
}

fn is_at(origin: &Origin, listen: &str) -> bool {
    let usual = if origin.scheme == Scheme::HTTPS {
        443
    } else {
        80
    };
    let port = origin.authority.port_u16().unwrap_or(usual);
    listen.rsplit_once(':').is_some_and(|(host, listens)| {
        listens.parse() == Ok(port) && is_here(origin.authority.host()) && is_here(host)
    })
}

/// Whether a host, as it stands in an address, is this machine.
fn is_here(host: &str) -> bool {
    is_loopback(host) || matches!(host, "0.0.0.0" | "[::]")
}

#[cfg(test)]
mod tests;
