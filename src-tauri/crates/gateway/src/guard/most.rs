//! The most output that may be asked for, in the words of whoever is asked.
//!
//! A request that asks for more is refused before; one that asks for none at all would get as much as its model can
//! write, so the limit is written into it.

use cockpit_metering::wire::Dialect;
use cockpit_metering::wire::splice::Most;
use cockpit_model::traffic::{ProviderKind, Rules};
use hyper::Uri;

use crate::callers::Callers;
use crate::force::Provider;

/// What a request may ask for at most, by the rules of its route and the limits of whoever asks.
pub(crate) fn allowed(callers: Callers<'_>, rules: &Rules) -> Option<u64> {
    let theirs = callers.limits().filter_map(|one| one.limits.max_tokens);
    theirs.chain(rules.max_tokens).min()
}

/// How a limit is written for a provider; `None`: what is asked for writes nothing.
pub(crate) fn written(dialect: Dialect, provider: &Provider, tokens: u64) -> Option<Most<'static>> {
    const CHAT: &[&str] = &["max_tokens", "max_completion_tokens"];
    const USUAL: &[&str] = &["max_tokens"];
    const RESPONSES: &[&str] = &["max_output_tokens"];
    const OLLAMA: &[&str] = &["num_predict"];
    let (within, names, heeded, added) = match dialect {
        Dialect::OpenAiChat => match provider.spec.kind {
            // It knows the old name only.
            ProviderKind::Ollama => (None, CHAT, USUAL, "max_tokens"),
            // Its newer models refuse the old name; what copied it may not know the new one.
            ProviderKind::OpenAi if is_openai(provider) => {
                (None, CHAT, CHAT, "max_completion_tokens")
            }
            ProviderKind::OpenAi | ProviderKind::Anthropic => (None, CHAT, CHAT, "max_tokens"),
        },
        Dialect::OpenAiCompletions | Dialect::AnthropicMessages => {
            (None, USUAL, USUAL, "max_tokens")
        }
        Dialect::OpenAiResponses => (None, RESPONSES, RESPONSES, "max_output_tokens"),
        Dialect::OllamaChat | Dialect::OllamaGenerate => {
            (Some("options"), OLLAMA, OLLAMA, "num_predict")
        }
        Dialect::OpenAiEmbeddings | Dialect::OllamaEmbed => return None,
    };
    Some(Most {
        tokens,
        within,
        names,
        heeded,
        added,
    })
}

fn is_openai(provider: &Provider) -> bool {
    let url = provider.spec.base_url.parse::<Uri>().ok();
    let host = url.as_ref().and_then(Uri::host).unwrap_or_default();
    host == "api.openai.com" || host.ends_with(".openai.com") || host.ends_with(".openai.azure.com")
}
