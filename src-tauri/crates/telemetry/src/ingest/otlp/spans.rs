//! Spans of requests to models, by the GenAI conventions of three generations.
//!
//! | what | now | 1.27 to 1.36 | before, and by others |
//! |---|---|---|---|
//! | provider | `gen_ai.provider.name` | `gen_ai.system` | the host |
//! | input | `gen_ai.usage.input_tokens` | the same | `gen_ai.usage.prompt_tokens` |
//! | cache reads | `gen_ai.usage.cache_read.input_tokens` | | `gen_ai.usage.cache_read_input_tokens` |
//! | cache writes | `gen_ai.usage.cache_creation.input_tokens`, `…cache_write…` | | `…cache_creation_input_tokens` |
//!
//! A span is a call when it asked a model. Spans of agents, tools, workflows and retrievals are none, though some of
//! them repeat the tokens of the calls beneath; and a call that is around another to the same model is none either
//! ([`Above`]).

use cockpit_model::{Call, CallSource, Operation, Outcome, Record};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::above::{self, Above};
use super::attributes::{Attributes, hex, moment, service};
use super::{Translated, logs};
use crate::ingest::{Prices, Setting, fault, prices, provider};

const INPUT: &[&str] = &[
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.usage.prompt_tokens",
    "ai.usage.promptTokens",
    "ai.usage.inputTokens",
    "ai.usage.tokens",
];
const OUTPUT: &[&str] = &[
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.usage.completion_tokens",
    "ai.usage.completionTokens",
    "ai.usage.outputTokens",
];
const CACHE_READ: &[&str] = &[
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_tokens.cached",
    "ai.usage.cachedInputTokens",
];
const CACHE_WRITE: &[&str] = &[
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
];
/// Where an application put the id that our gateway answered with.
const CALL_ID: &[&str] = &[
    "http.response.header.x-cockpit-call-id",
    "x-cockpit-call-id",
    "cockpit.call_id",
];
/// OpenTelemetry's code of a span that failed.
const FAILED: i32 = 2;

/// What a span is to us.
enum Read {
    Call(Box<Call>),
    /// A call to this model that our gateway has accounted for.
    Passed(String),
    /// Nothing.
    Other,
}

/// What is to be kept of these spans.
pub fn translate(
    request: &ExportTraceServiceRequest,
    setting: &Setting,
    above: &mut Above,
) -> Translated {
    let mut out = Translated::default();
    let mut calls: Vec<(&Span, Box<Call>)> = Vec::new();
    let mut passed: Vec<(&Span, String)> = Vec::new();
    for resource in &request.resource_spans {
        let about = resource.resource.as_ref();
        let about = Attributes(about.map_or(&[], |about| &about.attributes));
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            match read(span, about, setting) {
                Ok(Read::Call(call)) => calls.push((span, call)),
                Ok(Read::Passed(model)) => passed.push((span, model)),
                Ok(Read::Other) => {}
                Err(reason) => out.refused.push(reason),
            }
            for (place, event) in span.events.iter().enumerate() {
                if event.name == logs::EVALUATION
                    && let Some(id) = identity(span)
                {
                    let feedback = logs::evaluation(
                        Attributes(&event.attributes),
                        format!("{id}:{place}"),
                        moment(event.time_unix_nano).unwrap_or(setting.now),
                    );
                    out.records.push(Record::Report(feedback));
                }
            }
        }
    }
    let told = calls
        .iter()
        .map(|(span, call)| (*span, call.model.as_str()));
    let passed = passed.iter().map(|(span, model)| (*span, model.as_str()));
    let inner: Vec<(&Span, &str)> = told.chain(passed).collect();
    let scopes = request
        .resource_spans
        .iter()
        .flat_map(|one| &one.scope_spans);
    let around = above.around(scopes.flat_map(|scope| &scope.spans), &inner);
    let counted = calls
        .into_iter()
        .filter(|(span, _)| above::id(span).is_none_or(|id| !around.contains(&id)))
        .map(|(_, call)| Record::Call(*call));
    out.records.extend(counted);
    out
}

/// What makes a span count once; `None` where its ids are none.
fn identity(span: &Span) -> Option<String> {
    let is_id = |id: &[u8], length| id.len() == length && id.iter().any(|byte| *byte != 0);
    (is_id(&span.trace_id, 16) && is_id(&span.span_id, 8))
        .then(|| format!("{}:{}", hex(&span.trace_id), hex(&span.span_id)))
}

fn read(span: &Span, about: Attributes<'_>, setting: &Setting) -> Result<Read, String> {
    let told = Attributes(&span.attributes);
    let Some(operation) = operation(span, told) else {
        return Ok(Read::Other);
    };
    let asked = told.text(&["gen_ai.request.model", "ai.model.id", "llm.request.model"]);
    let answered = told.text(&[
        "gen_ai.response.model",
        "ai.response.model",
        "llm.response.model",
    ]);
    let provider = provider_of(told, &setting.prices);
    let model = asked.or_else(|| answered.clone());
    let model = model.map(|model| setting.prices.bare(&provider, &model).to_owned());
    let passed = told.text(CALL_ID);
    if passed.is_none() && went_through_gateway(told, setting) {
        return Ok(model.map_or(Read::Other, Read::Passed));
    }
    // By the gateway's own id it is the gateway's own record again.
    let id = match passed {
        Some(id) => id.trim().to_owned(),
        None => identity(span).ok_or(
            "a span's trace id or span id is missing or all zero: without them it could count twice",
        )?,
    };
    let Some(model) = model else {
        return Err(format!(
            "the span `{}` names no model: set gen_ai.request.model",
            span.name.chars().take(60).collect::<String>()
        ));
    };
    let status = told
        .count(&["http.response.status_code", "http.status_code"])
        .and_then(|status| u16::try_from(status).ok());
    let (outcome, error) = outcome(span, told, status);
    let used = Used::of(told);
    let ttft_ms = ttft(told, span);
    let tokens = prices::tokens(used.input, used.output, used.cached, used.written);
    let (cost_usd, price_version) = setting
        .price(&provider, &model, answered.as_deref(), tokens)
        .unzip();
    let name = |names: &[&str]| told.text(names).map(|name| name.trim().to_owned());
    Ok(Read::Call(Box::new(Call {
        id,
        at: moment(span.start_time_unix_nano).unwrap_or(setting.now),
        source: CallSource::Otlp,
        target: format!("{provider}/{model}"),
        provider,
        model,
        requested_model: None,
        route: None,
        operation,
        outcome,
        error,
        status,
        finish_reason: name(&[
            "gen_ai.response.finish_reasons",
            "gen_ai.completion.0.finish_reason",
            "ai.response.finishReason",
            "llm.response.finish_reason",
        ]),
        user: name(&[
            "user.id",
            "enduser.id",
            "gen_ai.request.user",
            "gen_ai.user",
            "llm.user",
            "traceloop.association.properties.user_id",
        ]),
        agent: name(&["gen_ai.agent.name", "gen_ai.agent.id"]),
        key: None,
        tags: service(about).into_iter().collect(),
        input_tokens: used.input,
        output_tokens: used.output,
        cached_input_tokens: used.cached,
        cache_write_tokens: used.written,
        latency_ms: milliseconds(span),
        ttft_ms,
        streamed: told
            .flag(&[
                "gen_ai.request.stream",
                "gen_ai.is_streaming",
                "llm.is_streaming",
            ])
            .unwrap_or(ttft_ms.is_some() || is_vercel_stream(told)),
        attempts: 1,
        fallback: false,
        cache_hit: false,
        cost_usd,
        price_version,
    })))
}

/// What was asked for; `None` where no model was asked by this very span.
fn operation(span: &Span, told: Attributes<'_>) -> Option<Operation> {
    // Vercel's SDK names its own operations beside the conventions': the inner ones ask the model.
    if let Some(id) = told.text(&["ai.operationId"]) {
        return if id.ends_with(".doGenerate") || id.ends_with(".doStream") {
            Some(Operation::Chat)
        } else if id.ends_with(".doEmbed") {
            Some(Operation::Embeddings)
        } else {
            None
        };
    }
    let has_provider = told.has("gen_ai.provider.name") || told.has("gen_ai.system");
    let uses = told.count(INPUT).is_some() || told.count(OUTPUT).is_some();
    if let Some(name) = told.text(&["gen_ai.operation.name"]) {
        return match name.trim().to_ascii_lowercase().as_str() {
            "chat" | "generate_content" | "responses" | "messages" | "converse" => {
                Some(Operation::Chat)
            }
            "text_completion" | "completion" => Some(Operation::Completion),
            "embeddings" | "embedding" | "embed" => Some(Operation::Embeddings),
            name if is_around(name) => None,
            // One of a later generation: a call only if it went out and says what it used.
            _ => (span.kind == CLIENT && has_provider && uses).then_some(Operation::Other),
        };
    }
    if !has_provider || told.has("traceloop.span.kind") {
        return None;
    }
    match told.text(&["llm.request.type"]).as_deref() {
        Some("chat") => Some(Operation::Chat),
        Some("completion") => Some(Operation::Completion),
        Some("embedding") => Some(Operation::Embeddings),
        Some(_) => Some(Operation::Other),
        None => (told.has("gen_ai.request.model") && (uses || span.kind == CLIENT))
            .then_some(Operation::Chat),
    }
}

/// A span's kind: it asked somebody else.
const CLIENT: i32 = 3;

/// Operations that are around calls, or beside them.
fn is_around(name: &str) -> bool {
    [
        "agent",
        "tool",
        "workflow",
        "plan",
        "retriev",
        "memory",
        "handoff",
        "guardrail",
        "task",
        "rerank",
        "search",
    ]
    .iter()
    .any(|word| name.contains(word))
}

fn provider_of(told: Attributes<'_>, prices: &Prices) -> String {
    let named = told
        .text(&["gen_ai.provider.name", "gen_ai.system", "ai.model.provider"])
        .map(|name| prices.name(&name))
        .filter(|name| !name.is_empty());
    let at = || {
        let (host, port) = server(told)?;
        let host = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        Some(provider::at(&host)).filter(|name| !name.is_empty())
    };
    named.or_else(at).unwrap_or_else(|| "unknown".to_owned())
}

/// Whom the span asked, by address.
fn server(told: Attributes<'_>) -> Option<(String, Option<u64>)> {
    if let Some(host) = told.text(&["server.address", "net.peer.name"]) {
        let port = told.count(&["server.port", "net.peer.port"]);
        return Some((host.trim().to_owned(), port));
    }
    let url = told.text(&["gen_ai.openai.api_base", "url.full", "http.url"])?;
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let usual = if scheme.eq_ignore_ascii_case("https") {
        443
    } else {
        80
    };
    Some(match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host.to_owned(), port.parse().ok()),
        _ => (authority.to_owned(), Some(usual)),
    })
}

/// Whether our own gateway was asked, which has accounted for it.
fn went_through_gateway(told: Attributes<'_>, setting: &Setting) -> bool {
    if setting.gateways.is_empty() {
        return false;
    }
    let Some((host, port)) = server(told) else {
        return false;
    };
    // A port that is not told is the usual one, as behind a tunnel.
    let ports = port.map_or([443, 80], |port| [port; 2]);
    setting
        .gateways
        .iter()
        .any(|one| ports.iter().any(|port| one.is(&host, *port)))
}

fn outcome(span: &Span, told: Attributes<'_>, status: Option<u16>) -> (Outcome, Option<String>) {
    let failed = span.status.as_ref().filter(|status| status.code == FAILED);
    let kind = told.text(&["error.type", "exception.type"]);
    if failed.is_none() && kind.is_none() {
        return (Outcome::Ok, None);
    }
    let said = failed
        .map(|status| status.message.as_str())
        .filter(|said| !said.is_empty());
    if kind.as_deref().or(said).is_some_and(fault::is_cancelled) {
        return (Outcome::Cancelled, None);
    }
    // `_OTHER` is the conventions' word for a class that has none.
    let kind = kind.as_deref().filter(|kind| *kind != "_OTHER");
    (Outcome::Error, Some(fault::code(kind.or(said), status)))
}

/// What was used.
struct Used {
    input: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
    written: Option<u64>,
}

impl Used {
    fn of(told: Attributes<'_>) -> Self {
        let (cached, written) = (told.count(CACHE_READ), told.count(CACHE_WRITE));
        let within = cached.unwrap_or(0).saturating_add(written.unwrap_or(0));
        // By the conventions cached tokens are part of the input. Where they are more than all of it, the
        // instrumentation passed Anthropic's own count on, which leaves them out.
        let input = told.count(INPUT).map(|input| {
            if within > input {
                input.saturating_add(within)
            } else {
                input
            }
        });
        Self {
            input,
            output: told.count(OUTPUT),
            cached,
            written,
        }
    }
}

fn milliseconds(span: &Span) -> Option<f64> {
    let nanos = span
        .end_time_unix_nano
        .checked_sub(span.start_time_unix_nano)?;
    // Microseconds are exact enough.
    (span.start_time_unix_nano > 0).then(|| (nanos / 1000) as f64 / 1000.0)
}

/// Time to the first piece of the answer.
fn ttft(told: Attributes<'_>, span: &Span) -> Option<f64> {
    const SECONDS: &[&str] = &[
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.server.time_to_first_token",
        "gen_ai.response.time_to_first_token",
        "llm.time_to_first_token",
    ];
    let whole = |ms: f64| (ms * 1000.0).round() / 1000.0;
    told.number(SECONDS)
        .map(|seconds| whole(seconds * 1000.0))
        .or_else(|| told.number(&["ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"]))
        .filter(|ms| *ms >= 0.0)
        .or_else(|| {
            let chunk =
                |name: &str| name.ends_with("completion.chunk") || name == "ai.stream.firstChunk";
            let first = span.events.iter().find(|event| chunk(&event.name))?;
            let nanos = first
                .time_unix_nano
                .checked_sub(span.start_time_unix_nano)?;
            Some((nanos / 1000) as f64 / 1000.0)
        })
}

fn is_vercel_stream(told: Attributes<'_>) -> bool {
    told.text(&["ai.operationId"])
        .is_some_and(|id| id.ends_with(".doStream"))
}
