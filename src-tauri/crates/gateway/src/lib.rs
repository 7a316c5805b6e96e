//! The AI reverse proxy: who may ask, who is asked, what it used.
//!
//! # Theory of operation
//!
//! One listener speaks the protocols of `OpenAI`, Anthropic and Ollama ([`door`], [`endpoint`]). A request is
//! let in by where it comes from and by its key ([`gate`]). One to a model ([`flow`]) names a route, a
//! `provider/model` or a model, which makes a chain of targets ([`force`]); rules judge it ([`guard`]),
//! an equal one from before may answer it ([`cache`]), limits and budgets set aside what it may use
//! ([`spend`]); then the targets are asked in turn by a plan (`cockpit_resilience::retry`), each past its breaker ([`breakers`]) and through its waiting room ([`room`]).
//! An answer that is whole is judged before it goes on; one that is streamed goes on piece by piece and is
//! read in passing ([`relay`]). What is to be kept, for the next who asks the same or for a person ([`keep`]), is
//! taken along ([`tap`]). Everything else is passed on unchanged ([`through`]).
//!
//! A request is one task from end to end: the caller's connection drives the provider's ([`upstream`]), and what its
//! parts say to each other wakes nobody else ([`quiet`]).
//!
//! # Invariants
//!
//! - **Every request to a model is written down once,** however it ends: its [`flight`] sees to that.
//! - **Nothing waits for the disk or the screen:** calls and events are handed over and forgotten.
//! - **Nothing is retried after the first piece of an answer has reached the caller.**
//! - **What is not understood is not changed.** A body is rewritten in place where its model's name must
//!   change; unknown fields, headers and events pass as they are.
//! - **Memory is bounded:** requests and answers that are held, each and together ([`memory`]), waiting requests,
//!   callers that are told apart.

mod access;
mod body;
mod breakers;
mod cache;
mod calendar;
mod call_id;
mod callers;
mod door;
mod endpoint;
mod findings;
mod flight;
mod flow;
mod force;
mod front;
mod gate;
mod guard;
mod health;
mod keep;
mod knocks;
mod memory;
mod models;
mod refusal;
mod relay;
mod room;
mod seams;
mod secret;
mod spend;
mod tap;
mod through;
mod upstream;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cockpit_metering::price::PriceBook;
use cockpit_model::traffic::{KeySpec, Target, TrafficSpec};
use cockpit_model::{BreakerView, EventBody, GatewayView, ReportKind, Timestamp, Usd};
use cockpit_resilience::breaker;
use cockpit_resilience::budget::Each;
use tokio::net::TcpListener;

use crate::access::Access;
use crate::breakers::SharedBreakers;
use crate::findings::{Finding, Gathered, Whose};
use crate::force::{InForce, Provider};
use crate::room::Room;

pub use access::KeyUse;
pub use calendar::now as periods;
pub use gate::{KeyHash, hash};
pub use keep::Kept;
pub use room::RoomView;
pub use seams::{Calls, Events, Findings, Prompts, Secrets, Standing};
pub use secret::{PREFIX as KEY_PREFIX, beginning as key_beginning, is_made_here, new_key};
pub use spend::Who;

/// What the gateway is made of besides its settings.
pub struct Parts {
    /// Where calls are written down.
    pub calls: Arc<dyn Calls>,
    /// Where prompts are kept.
    pub prompts: Arc<dyn Prompts>,
    /// Where findings are written down.
    pub findings: Arc<dyn Findings>,
    /// What the supervisor knows.
    pub standing: Arc<dyn Standing>,
    /// Where secrets are kept.
    pub secrets: Arc<dyn Secrets>,
    /// What vendors ask.
    pub prices: PriceBook,
    /// Who is told what happens.
    pub events: Arc<dyn Events>,
    /// What was spent today and this month, before this start; whoever spent most first.
    pub spent: Vec<(Who, Each<Usd>)>,
    /// How keys were used before this start.
    pub key_uses: Vec<KeyUse>,
    /// Keys that were made here: only their hashes are kept.
    pub keys: Vec<(KeySpec, KeyHash)>,
}

/// The gateway. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    secrets: Arc<dyn Secrets>,
    prices: PriceBook,
    /// Held while new settings are made ready, so that the last that come are the last in force.
    keys: Arc<tokio::sync::Mutex<Vec<(KeySpec, KeyHash)>>>,
}

pub(crate) struct Shared {
    pub(crate) lanes: upstream::Lanes,
    pub(crate) breakers: SharedBreakers,
    pub(crate) spend: Arc<spend::Spend>,
    pub(crate) models: models::Models,
    pub(crate) memory: Arc<memory::Memory>,
    pub(crate) rooms: Rooms,
    pub(crate) caches: cache::Caches,
    pub(crate) prompts: Arc<dyn Prompts>,
    pub(crate) calls: Arc<dyn Calls>,
    pub(crate) findings: Gathered,
    pub(crate) standing: Arc<dyn Standing>,
    events: Arc<dyn Events>,
    knocks: knocks::Knocks,
    access: Access,
    /// What is told of personal data in prompts.
    pii: guard::pii::News,
    force: RwLock<Arc<InForce>>,
}

/// The waiting rooms, by provider.
#[derive(Default)]
pub(crate) struct Rooms {
    all: RwLock<HashMap<String, Arc<Room>>>,
}

impl Rooms {
    pub(crate) fn room(&self, provider: &Provider) -> Option<Arc<Room>> {
        provider.spec.queue?;
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&provider.spec.name).cloned()
    }

    pub(crate) fn views(&self) -> BTreeMap<String, RoomView> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|(name, room)| (name.clone(), room.view()))
            .collect()
    }

    fn obey(&self, spec: &TrafficSpec) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *all);
        for provider in &spec.providers {
            let Some(queue) = provider.queue else {
                continue;
            };
            // Whoever waits goes on waiting, under the new settings.
            let kept = before.remove(&provider.name);
            if let Some(room) = &kept {
                room.reconfigure(queue);
            }
            if let Some(room) = kept.or_else(|| Room::new(queue)) {
                all.insert(provider.name.clone(), room);
            }
        }
    }
}

impl Shared {
    pub(crate) fn force(&self) -> Arc<InForce> {
        Arc::clone(&self.force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Somebody was not let in.
    pub(crate) fn refused(&self, from: IpAddr, refusal: &refusal::Refusal) {
        let whose = Whose {
            from: Some(from),
            ..Whose::default()
        };
        self.broken(whose, refusal);
    }

    /// A request was refused by a rule, or for want of a key.
    pub(crate) fn broken(&self, whose: Whose<'_>, refusal: &refusal::Refusal) {
        let kind = match refusal.code {
            "caller_unauthorized" => ReportKind::Auth,
            _ => ReportKind::Policy,
        };
        self.findings.note(&Finding {
            ok: (kind == ReportKind::Auth).then_some(false),
            ..Finding::new(kind, refusal.code, whose)
        });
        if let Some(from) = whose.from
            && let Some(event) = self.knocks.note(refusal.code, from)
        {
            self.events.publish(event);
        }
    }

    /// Personal data was found in a prompt.
    pub(crate) fn found(&self, whose: Whose<'_>, call: &str, looked: &guard::pii::Looked) {
        for (kind, count) in &looked.found {
            self.findings.note(&Finding {
                action: Some(looked.action),
                count: *count as u64,
                ..Finding::new(ReportKind::Pii, kind.as_str(), whose)
            });
        }
        // What cannot be looked through is refused, and nothing was found in it.
        if !looked.found.is_empty()
            && let Some(event) = self.pii.note(call, looked)
        {
            self.events.publish(event);
        }
    }

    /// A key is used.
    pub(crate) fn visited(&self, key: &str, from: IpAddr) {
        for noticed in self.access.visit(key, from, Timestamp::now()) {
            let whose = Whose {
                key: Some(key),
                from: Some(from),
                ..Whose::default()
            };
            self.findings.note(&Finding {
                ok: Some(true),
                ..Finding::new(ReportKind::Auth, noticed.what, whose)
            });
            if let Some(event) = noticed.event {
                self.events.publish(event);
            }
        }
    }

    /// Hands on, from time to time, what has come together.
    async fn hand_on(&self) {
        loop {
            tokio::time::sleep(findings::LOOK_EVERY).await;
            self.findings.hand_on(false);
            self.lanes.tidy();
            for event in self.knocks.due().into_iter().chain(self.pii.due()) {
                self.events.publish(event);
            }
        }
    }
}

/// How long prompts are kept, by route; of those without a route under an empty name.
fn keep_rules(spec: &TrafficSpec) -> BTreeMap<String, Duration> {
    let routes = spec.routes.iter();
    let routes = routes.map(|route| (route.name.clone(), route.rules.keep_prompts));
    std::iter::once((String::new(), spec.rules.keep_prompts))
        .chain(routes)
        .filter_map(|(name, keep)| Some((name, keep?)))
        .collect()
}

/// Why there is no gateway.
#[derive(Debug)]
pub struct NoGateway(String);

impl std::fmt::Display for NoGateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the gateway cannot trust this machine's certificates: {}",
            self.0
        )
    }
}

impl std::error::Error for NoGateway {}

impl Gateway {
    /// Reads the secrets the settings name, and is ready to serve.
    ///
    /// # Errors
    /// When this machine's certificates cannot be used.
    pub async fn new(spec: TrafficSpec, parts: Parts) -> Result<Self, NoGateway> {
        let Parts {
            calls,
            prompts,
            findings,
            standing,
            secrets,
            prices,
            events,
            spent,
            key_uses,
            keys,
        } = parts;
        let told = Arc::clone(&events);
        let breakers = breakers::Breakers::new(
            breaker::Settings::default(),
            Box::new(move |target, transition| {
                told.publish(EventBody::Breaker {
                    provider: target.provider.clone(),
                    model: target.model.clone(),
                    from: transition.from.as_str().to_owned(),
                    to: transition.to.as_str().to_owned(),
                    cause: transition.cause.to_string(),
                });
            }),
        );
        let told = Arc::clone(&events);
        let spend = spend::Spend::new(Box::new(move |who, crossed| {
            told.publish(EventBody::Budget {
                whose: who.to_string(),
                period: crossed.span.as_str().to_owned(),
                percent: crossed.percent,
                spent_usd: crossed.spent,
                limit_usd: crossed.limit,
            });
        }));
        spend.restore(spent);
        let force = InForce::of(spec, &keys, &*secrets, &standing, &prices).await;
        let gateway = Self {
            shared: Arc::new(Shared {
                lanes: upstream::Lanes::new().map_err(|error| NoGateway(error.to_string()))?,
                breakers: Arc::new(breakers),
                spend: Arc::new(spend),
                models: models::Models::default(),
                memory: Arc::default(),
                rooms: Rooms::default(),
                caches: cache::Caches::default(),
                prompts,
                calls,
                findings: Gathered::new(findings),
                standing,
                events,
                knocks: knocks::Knocks::default(),
                access: Access::new(key_uses),
                pii: guard::pii::News::default(),
                force: RwLock::new(Arc::new(InForce::empty(force.spec.clone()))),
            }),
            secrets,
            prices,
            keys: Arc::new(tokio::sync::Mutex::new(keys)),
        };
        {
            let keys = gateway.keys.lock().await;
            gateway.put_in_force(force, &keys);
        }
        Ok(gateway)
    }

    /// Takes new settings; requests under way end as they began. Where it listens is for whoever serves it to say
    /// ([`Self::serve_at`]).
    pub async fn apply(&self, spec: TrafficSpec) {
        let keys = self.keys.lock().await;
        let force = self.read(spec, &keys).await;
        self.put_in_force(force, &keys);
    }

    /// Takes the keys that were made here.
    pub async fn set_keys(&self, made: Vec<(KeySpec, KeyHash)>) {
        let mut keys = self.keys.lock().await;
        *keys = made;
        let spec = self.shared.force().spec.clone();
        let force = self.read(spec, &keys).await;
        self.put_in_force(force, &keys);
    }

    /// Takes what was spent today and this month, whoever spent most first: for those who have a budget only
    /// from now on. What is known here is no less for it.
    pub fn restore(&self, spent: Vec<(Who, Each<Usd>)>) {
        self.shared.spend.restore(spent);
    }

    /// How keys are used, of those that were used since this was last asked: to be written down.
    pub fn key_uses(&self) -> Vec<KeyUse> {
        self.shared.access.changed()
    }

    /// They could not be written down, and are answered again.
    pub fn key_uses_not_written(&self, uses: &[KeyUse]) {
        self.shared.access.not_written(uses);
    }

    /// When each key was last used, of those that ever were.
    pub fn keys_last_used(&self) -> HashMap<String, Timestamp> {
        self.shared.access.last_used()
    }

    /// Settings made ready.
    async fn read(&self, spec: TrafficSpec, keys: &[(KeySpec, KeyHash)]) -> InForce {
        let standing = &self.shared.standing;
        InForce::of(spec, keys, &*self.secrets, standing, &self.prices).await
    }

    fn put_in_force(&self, force: InForce, made: &[(KeySpec, KeyHash)]) {
        let shared = &self.shared;
        shared.access.retain(|name| {
            let written = force.spec.keys.iter().any(|key| key.name == name);
            written || made.iter().any(|(key, _)| key.name == name)
        });
        shared.rooms.obey(&force.spec);
        shared.caches.obey(&force.spec);
        shared.prompts.obey(keep_rules(&force.spec));
        shared.spend.reconfigure();
        let before = shared.force();
        shared.models.forget(|name| {
            let same = before.provider(name).zip(force.provider(name));
            !same.is_some_and(|(old, new)| old.spec == new.spec)
        });
        for message in &force.trouble {
            tracing::warn!("{message}");
            shared.events.publish(EventBody::Cockpit {
                level: "warning".to_owned(),
                message: message.clone(),
            });
        }
        *shared.force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(force);
    }

    /// Serves at an address until `stop` resolves, and finishes the answers under way, within bounds: its own, or that of a service that runs behind the gateway, where
    /// whoever asks means that service.
    pub async fn serve_at(
        &self,
        listener: TcpListener,
        service: Option<&str>,
        stop: impl Future<Output = ()> + Send,
    ) {
        let front = service.map(Arc::from);
        door::serve(Arc::clone(&self.shared), listener, front, stop).await;
    }

    /// Does what is due besides, at however many addresses it serves, until `stop` resolves: looks which models there
    /// are, hands on what came together.
    pub async fn tend(&self, stop: impl Future<Output = ()> + Send) {
        let refreshing = async {
            loop {
                let force = self.shared.force();
                self.shared.models.refresh(&self.shared, &force).await;
                tokio::time::sleep(models::EVERY).await;
            }
        };
        let sweeping = async {
            loop {
                tokio::time::sleep(cache::SWEEP_EVERY).await;
                self.shared.caches.sweep();
            }
        };
        tokio::select! {
            () = refreshing => {}
            () = self.shared.hand_on() => {}
            () = stop => {}
            () = sweeping => {}
        }
        self.shared.findings.hand_on(true);
    }

    /// A service was started anew: what its former process did says nothing of it.
    pub fn renewed(&self, service: &str) {
        let force = self.shared.force();
        for provider in force.providers() {
            if provider.spec.service.as_deref() == Some(service) {
                let own = &provider.spec.name;
                self.shared.breakers.renew(own);
                self.shared.models.forget(|name| name == own);
            }
        }
    }

    /// A service has become ready, which listens at this address: providers that are it are tried at once, however long
    /// they were to be left alone.
    pub fn ready(&self, service: &str, listen: Option<&str>) {
        for provider in self.shared.force().providers() {
            let is_it = provider.spec.service.as_deref() == Some(service);
            if is_it || listen.is_some_and(|listen| provider.is_at(listen)) {
                self.shared.breakers.try_now(&provider.spec.name);
            }
        }
    }

    /// Every breaker that knows something.
    pub fn breakers(&self) -> Vec<BreakerView> {
        let seen = self.shared.breakers.views().into_iter();
        seen.map(|one| one.breaker).collect()
    }

    /// Closes a breaker by hand; whether there is such a one.
    pub fn reset_breaker(&self, provider: &str, model: &str) -> bool {
        self.shared.breakers.reset(&Target {
            provider: provider.to_owned(),
            model: model.to_owned(),
        })
    }

    /// What of its settings cannot be used: secrets that could not be read, and whom that shuts out.
    pub fn trouble(&self) -> Vec<String> {
        self.shared.force().trouble.clone()
    }

    /// How full the waiting rooms are, by provider.
    pub fn rooms(&self) -> BTreeMap<String, RoomView> {
        self.shared.rooms.views()
    }

    /// Where to send requests, who answers them, and what may still be spent.
    pub fn view(&self) -> GatewayView {
        view::view(&self.shared)
    }
}
