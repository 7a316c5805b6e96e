//! What a path means: in whose protocol, and whether it is accounted for.

use cockpit_metering::wire::Dialect;
use cockpit_model::Operation;
use cockpit_model::traffic::ProviderKind;
use hyper::Method;

/// In whose protocol a caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    OpenAi,
    Anthropic,
    Ollama,
}

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) protocol: Protocol,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A request to a model.
    Model(Dialect),
    /// The list of models.
    Models,
    /// What there is, at an Ollama: asks no model, changes nothing.
    Look,
    /// Anything else: passed on as it is.
    Other,
}

impl Endpoint {
    /// `anthropic` says whether the caller names a version of Anthropic's protocol: both have `/v1/models`.
    ///
    /// A slash at the end changes nothing for most servers, and so nothing here.
    pub(crate) fn of(method: &Method, path: &str, anthropic: bool) -> Self {
        let path = match path.trim_end_matches('/') {
            "" => "/",
            path => path,
        };
        let protocol = if path == "/v1/messages" || path.starts_with("/v1/messages/") || anthropic {
            Protocol::Anthropic
        } else if path == "/v1" || path.starts_with("/v1/") {
            Protocol::OpenAi
        } else {
            // `/api/…`, and `/`, where Ollama says that it is running.
            Protocol::Ollama
        };
        let what = match (method, path) {
            (&Method::POST, "/v1/chat/completions") => What::Model(Dialect::OpenAiChat),
            (&Method::POST, "/v1/completions") => What::Model(Dialect::OpenAiCompletions),
            (&Method::POST, "/v1/embeddings") => What::Model(Dialect::OpenAiEmbeddings),
            (&Method::POST, "/v1/responses") => What::Model(Dialect::OpenAiResponses),
            (&Method::POST, "/v1/messages") => What::Model(Dialect::AnthropicMessages),
            (&Method::POST, "/api/chat") => What::Model(Dialect::OllamaChat),
            (&Method::POST, "/api/generate") => What::Model(Dialect::OllamaGenerate),
            (&Method::POST, "/api/embed" | "/api/embeddings") => What::Model(Dialect::OllamaEmbed),
            (&Method::GET, "/v1/models") => What::Models,
            (&Method::GET | &Method::HEAD, "/" | "/api/tags" | "/api/ps" | "/api/version")
                if protocol == Protocol::Ollama =>
            {
                What::Look
            }
            _ => What::Other,
        };
        Self { protocol, what }
    }
}

/// Whether a server may read the path as another than it looks: then nobody knows what is asked.
pub(crate) fn is_ambiguous(method: &Method, path: &str) -> bool {
    // Names in the paths of questions may be escaped.
    let asks = matches!(*method, Method::GET | Method::HEAD);
    let escaped = path.contains('%') && !asks;
    let dots = path.split('/').any(|part| matches!(part, "." | ".."));
    escaped || dots || path.contains("//") || path.contains('\\')
}

impl Protocol {
    /// Whether a provider of that kind speaks it.
    pub(crate) const fn spoken_by(self, kind: ProviderKind) -> bool {
        matches!(
            (self, kind),
            (Self::OpenAi, ProviderKind::OpenAi | ProviderKind::Ollama)
                | (
                    Self::Anthropic,
                    ProviderKind::Anthropic | ProviderKind::Ollama
                )
                | (Self::Ollama, ProviderKind::Ollama)
        )
    }

    /// The kind of provider that it is the first language of.
    pub(crate) const fn home(self) -> ProviderKind {
        match self {
            Self::OpenAi => ProviderKind::OpenAi,
            Self::Anthropic => ProviderKind::Anthropic,
            Self::Ollama => ProviderKind::Ollama,
        }
    }
}

/// Whether a provider of that kind can be asked this. Anthropic also answers `OpenAI`'s chat completions,
/// under its own address.
pub(crate) const fn answers(kind: ProviderKind, dialect: Dialect) -> bool {
    match dialect {
        Dialect::OpenAiChat => true,
        Dialect::OpenAiCompletions | Dialect::OpenAiEmbeddings | Dialect::OpenAiResponses => {
            Protocol::OpenAi.spoken_by(kind)
        }
        Dialect::AnthropicMessages => Protocol::Anthropic.spoken_by(kind),
        Dialect::OllamaChat | Dialect::OllamaGenerate | Dialect::OllamaEmbed => {
            Protocol::Ollama.spoken_by(kind)
        }
    }
}

pub(crate) const fn operation(dialect: Dialect) -> Operation {
    match dialect {
        Dialect::OpenAiChat
        | Dialect::OpenAiResponses
        | Dialect::AnthropicMessages
        | Dialect::OllamaChat => Operation::Chat,
        Dialect::OpenAiCompletions | Dialect::OllamaGenerate => Operation::Completion,
        Dialect::OpenAiEmbeddings | Dialect::OllamaEmbed => Operation::Embeddings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_protocol() {
        let of = |method: &Method, path| Endpoint::of(method, path, false);
        let cases = [
            (
                "/v1/chat/completions",
                Protocol::OpenAi,
                What::Model(Dialect::OpenAiChat),
            ),
            (
                "/v1/messages",
                Protocol::Anthropic,
                What::Model(Dialect::AnthropicMessages),
            ),
            (
                "/v1/messages/count_tokens",
                Protocol::Anthropic,
                What::Other,
            ),
            ("/v1/audio/speech", Protocol::OpenAi, What::Other),
            (
                "/api/chat",
                Protocol::Ollama,
                What::Model(Dialect::OllamaChat),
            ),
            ("/api/pull", Protocol::Ollama, What::Other),
            ("/v1messages", Protocol::Ollama, What::Other),
        ];
        for (path, protocol, what) in cases {
            assert_eq!(
                of(&Method::POST, path),
                Endpoint { protocol, what },
                "{path}"
            );
        }
        assert_eq!(
            of(&Method::POST, "/v1/chat/completions/").what,
            What::Model(Dialect::OpenAiChat)
        );
        let strange = |path| is_ambiguous(&Method::POST, path);
        assert!(
            strange("/v1/chat/%63ompletions") && strange("/v1//chat") && strange("/v1/x/../chat")
        );
        assert!(
            !strange("/api/blobs/sha256:00") && !is_ambiguous(&Method::GET, "/v1/models/a%2Fb")
        );
        assert_eq!(of(&Method::GET, "/api/chat").what, What::Other);
        assert_eq!(of(&Method::GET, "/api/tags").what, What::Look);
        assert_eq!(of(&Method::POST, "/api/tags").what, What::Other);
        let models = Endpoint::of(&Method::GET, "/v1/models", true);
        assert_eq!(
            (models.protocol, models.what),
            (Protocol::Anthropic, What::Models)
        );
    }

    #[test]
    fn who_can_be_asked() {
        use ProviderKind::{Anthropic, Ollama, OpenAi};
        assert!(
            answers(Anthropic, Dialect::OpenAiChat)
                && !answers(Anthropic, Dialect::OpenAiEmbeddings)
        );
        assert!(
            answers(Ollama, Dialect::AnthropicMessages)
                && !answers(OpenAi, Dialect::AnthropicMessages)
        );
        assert!(answers(Ollama, Dialect::OllamaChat) && !answers(OpenAi, Dialect::OllamaChat));
    }
}
