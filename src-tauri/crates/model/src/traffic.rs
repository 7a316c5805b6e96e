//! How requests to models are to be steered: the settings of the gateway, its providers, keys,
//! routes, limits and budgets. Complete and judged: whoever holds one needs no further checks.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::money::Usd;

/// Everything the gateway is made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrafficSpec {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Host names it answers to besides loopback's, without a port: those of a tunnel.
    pub allowed_hosts: Vec<String>,
    /// The rules for what matches no route of its own.
    pub rules: Rules,
    /// Who answers. In the order of the file, then those made of services.
    pub providers: Vec<ProviderSpec>,
    /// Who may ask; none: anybody on this machine.
    pub keys: Vec<KeySpec>,
    /// Chains of targets by name.
    pub routes: Vec<RouteSpec>,
    /// What every user may use, and every agent.
    pub limits: CommonLimits,
    /// What may be spent in all.
    pub budget: Budget,
    /// Addresses of services that run behind the gateway: it answers there as they would.
    pub fronts: Vec<FrontSpec>,
}

/// The address of a service that runs behind the gateway. Whoever asks there means that service: its models by
/// their own names, everything else as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FrontSpec {
    /// The service.
    pub service: String,
    /// The provider that it is.
    pub provider: String,
    /// Its address.
    pub listen: SocketAddr,
    /// Pages that may ask besides those that Ollama lets in by itself, as `OLLAMA_ORIGINS` has them.
    pub origins: Vec<String>,
}

impl TrafficSpec {
    /// A provider by its name.
    pub fn provider(&self, name: &str) -> Option<&ProviderSpec> {
        self.providers.iter().find(|one| one.name == name)
    }
}

/// Somebody who answers requests to models.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProviderSpec {
    /// Its name in the file.
    pub name: String,
    /// The protocol it speaks.
    pub kind: ProviderKind,
    /// As its own client takes it, without a slash at the end: `OpenAI`'s ends in `/v1`.
    pub base_url: String,
    /// Where its key is kept; none: it wants none, or the caller's own goes through.
    pub api_key: Option<SecretPlace>,
    /// How long a whole answer may take.
    pub timeout: Duration,
    /// How long until its first byte.
    pub first_byte_timeout: Duration,
    /// How long between two pieces of it.
    pub idle_timeout: Duration,
    /// The service of this machine that it is: known to be down, it is not asked.
    pub service: Option<String>,
    /// Whether that runs behind the gateway: the host and port of `base_url` are then the gateway's own, and it is
    /// asked at the port that its service was given.
    pub behind_gateway: bool,
    /// How many requests it gets at once, and who waits; none: as many as come.
    pub queue: Option<QueueSpec>,
    /// A person's own prices by model; they win over the table.
    pub prices: BTreeMap<String, PriceSpec>,
}

/// The protocol of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// `OpenAI`'s, and of whoever copied it.
    OpenAi,
    /// Anthropic's.
    Anthropic,
    /// Ollama's own, and `OpenAI`'s beside it.
    Ollama,
}

impl ProviderKind {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Ollama => "ollama",
        }
    }
}

/// A waiting room in front of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QueueSpec {
    /// How many requests are upstream at once.
    pub concurrency: u32,
    /// How many more may wait.
    pub waiting: u32,
    /// How long each.
    pub max_wait: Duration,
}

/// Dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PriceSpec {
    /// Of input.
    pub input: Usd,
    /// Of output.
    pub output: Usd,
    /// Of input read from the cache; none: as input.
    pub cached_input: Option<Usd>,
}

/// Where a secret is kept. The secret itself stands nowhere in the configuration.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretPlace {
    /// An environment variable.
    Env(String),
    /// An entry of the keychain.
    Keychain(String),
    /// A file that holds nothing else; absolute.
    File(PathBuf),
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::Keychain(name) => write!(f, "the keychain's entry {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

impl fmt::Debug for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Somebody who may ask.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeySpec {
    /// Its name, as calls are attributed.
    pub name: String,
    /// Where the key is kept; none: it was made by `key add`, and only its hash is kept.
    pub secret: Option<SecretPlace>,
    /// What it may use.
    pub limits: Limits,
}

/// What a key, a user or an agent may use; none: as much as they like.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens in a minute, input and output together.
    pub tokens_per_minute: Option<u32>,
    /// What may be spent in a calendar day (local time).
    pub usd_per_day: Option<Usd>,
    /// What may be spent in a calendar month (local time).
    pub usd_per_month: Option<Usd>,
    /// The models, routes and `provider/model`s it may ask for; none: all.
    pub models: Option<Vec<String>>,
    /// The most output it may ask for.
    pub max_tokens: Option<u64>,
}

/// What every user may use, and every agent, whatever the key.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct CommonLimits {
    /// Each user.
    pub user: Limits,
    /// Each agent.
    pub agent: Limits,
}

/// A chain of targets: the first that can answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteSpec {
    /// What callers write as their model.
    pub name: String,
    /// In this order; at least one.
    pub targets: Vec<Target>,
    /// Its rules.
    pub rules: Rules,
}

/// A model of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Target {
    /// The provider's name.
    pub provider: String,
    /// The model, as the provider calls it.
    pub model: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Target {
    /// As it is displayed, in one piece: every request is written down with it.
    pub fn name(&self) -> String {
        [&self.provider, "/", &self.model].concat()
    }
}

/// What is done to prompts and answers on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Rules {
    /// Personal data in prompts.
    pub pii: PiiMode,
    /// Words no prompt may hold, in lower case.
    pub blocked_words: Vec<String>,
    /// The most output that may be asked for.
    pub max_tokens: Option<u64>,
    /// Equal requests are answered from memory; none: never.
    pub cache: Option<CacheSpec>,
    /// Prompts and answers are kept this long; none: never.
    pub keep_prompts: Option<Duration>,
}

/// What happens when a prompt holds personal data or a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PiiMode {
    /// Nobody looks.
    Off,
    /// It is counted and told.
    #[default]
    Observe,
    /// It is replaced before it leaves.
    Redact,
    /// The request is refused.
    Block,
}

/// The cache of exactly equal requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct CacheSpec {
    /// How long an answer is good.
    pub ttl: Duration,
    /// How much memory it may take.
    pub max_bytes: u64,
}

/// What may be spent in all. At the end only paid models stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Budget {
    /// In a calendar day (local time).
    pub daily: Option<Usd>,
    /// In a calendar month (local time).
    pub monthly: Option<Usd>,
}
