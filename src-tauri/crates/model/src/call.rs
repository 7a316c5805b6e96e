//! One request to a model, as it is accounted for.
//!
//! **Token counts.** `input_tokens` includes what was read from or written to the provider's cache,
//! each counted once; `cached_input_tokens` are the cache reads among them. Providers disagree
//! (`OpenAI` counts cached tokens inside its prompt tokens, Anthropic beside them): whoever makes a
//! [`Call`] has translated. What was not reported is absent, never zero.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::money::Usd;

/// One request to a model. `None` is "not known".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The answer's `x-cockpit-call-id`, or the id its reporter gave it.
    pub id: String,
    /// When it began.
    pub at: Timestamp,
    /// Who told us.
    pub source: CallSource,
    /// The provider's name in the configuration, or as reported.
    pub provider: String,
    /// The model that was asked, without its provider.
    pub model: String,
    /// `provider/model`.
    pub target: String,
    /// What the caller wrote as its model, where that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_model: Option<String>,
    /// The route that led to the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// What was asked for.
    pub operation: Operation,
    /// How it ended.
    pub outcome: Outcome,
    /// Of an error: its code, prefixed by whose fault it was ([`Fault`]).
    pub error: Option<String>,
    /// The HTTP status the caller got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the model stopped, in the provider's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// On whose behalf.
    pub user: Option<String>,
    /// By which agent.
    pub agent: Option<String>,
    /// The name of the key it came with; never the key.
    pub key: Option<String>,
    /// Free labels.
    pub tags: Vec<String>,
    /// All input, cached tokens included. Like the other counts and the cost, over all who were asked for it: also what
    /// those used whose answer was no good.
    pub input_tokens: Option<u64>,
    /// All output, reasoning included.
    pub output_tokens: Option<u64>,
    /// Input that was read from the provider's cache.
    pub cached_input_tokens: Option<u64>,
    /// Input that was written to the provider's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    /// From the request's arrival to the answer's last byte.
    pub latency_ms: Option<f64>,
    /// From the request's arrival to the first piece of the answer; of streamed answers.
    pub ttft_ms: Option<f64>,
    /// Whether the answer was streamed.
    #[serde(default)]
    pub streamed: bool,
    /// How many requests went upstream for it.
    pub attempts: u32,
    /// Whether another than the first target answered.
    #[serde(default)]
    pub fallback: bool,
    /// Whether our own cache answered: nothing went upstream and nothing was paid.
    #[serde(default)]
    pub cache_hit: bool,
    /// What it cost; null where the price is not known.
    pub cost_usd: Option<Usd>,
    /// The price table that said so; it ends in `+estimated` where the provider worked and did not tell what it used: its
    /// caller left before, or its time was up.
    pub price_version: Option<String>,
}

impl Call {
    /// Whether its cost is missing from a sum: see [`is_unpriced`].
    pub fn is_unpriced(&self) -> bool {
        let tokens = [self.input_tokens, self.output_tokens];
        let used = tokens.into_iter().flatten().any(|tokens| tokens > 0);
        self.cost_usd.is_none() && is_unpriced(self.outcome, self.attempts, used, self.cache_hit)
    }
}

/// Whether the cost of a call that has no known one is missing from a sum: it used tokens, or succeeded upstream and
/// does not say how many.
pub fn is_unpriced(outcome: Outcome, attempts: u32, used_tokens: bool, cache_hit: bool) -> bool {
    !cache_hit && (used_tokens || (outcome == Outcome::Ok && attempts > 0))
}

/// Who told us of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallSource {
    /// It went through our gateway.
    Gateway,
    /// `POST /api/events`.
    Events,
    /// OpenTelemetry.
    Otlp,
}

/// What a call asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A turn of a conversation, in whatever protocol.
    Chat,
    /// The continuation of a text.
    Completion,
    /// Vectors.
    Embeddings,
    /// Anything else.
    Other,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// With an answer.
    Ok,
    /// Without one.
    Error,
    /// The caller went away first.
    Cancelled,
}

/// Whose fault an error is: the prefix of its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The caller asked for what cannot be.
    Caller,
    /// A rule of the person who runs this cockpit.
    Policy,
    /// The provider, or the way to it.
    Provider,
    /// This cockpit.
    Gateway,
}

impl Fault {
    /// Whose fault an error code says it is; `None` for a code that is not prefixed.
    pub fn of(code: &str) -> Option<Self> {
        match code.split_once('_')?.0 {
            "caller" => Some(Self::Caller),
            "policy" => Some(Self::Policy),
            "provider" => Some(Self::Provider),
            "gateway" => Some(Self::Gateway),
            _ => None,
        }
    }
}
