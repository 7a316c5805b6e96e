//! A request to a model, reported as an event.

use cockpit_model::{Call, CallSource, Operation, Outcome, Timestamp, Usd};
use serde_json::value::RawValue;

use super::item::Item;
use super::value::{Maybe, Told, count, flag, name, number, text, wrong};
use crate::ingest::{Prices, Setting, fault, prices};

/// The version of a price that the reporter told.
pub(super) const REPORTED: &str = "reported";

/// Reads one.
///
/// # Errors
/// The reason, with what to write instead.
pub(super) fn read(
    item: Item<'_>,
    id: String,
    at: Timestamp,
    setting: &Setting,
) -> Result<Call, String> {
    let (provider, model) = target(item.provider, item.model, &setting.prices)?;
    let error = text("error", item.error)?;
    let outcome = outcome(item.outcome, error.is_some())?;
    if outcome == Outcome::Ok && error.is_some() {
        return Err(
            "outcome is \"ok\" and there is an error: write outcome \"error\", or leave error out"
                .to_owned(),
        );
    }
    let status = status(item.status)?;
    let error = (outcome == Outcome::Error).then(|| fault::code(error.as_deref(), status));
    let input_tokens = count("input_tokens", item.input_tokens)?;
    let output_tokens = count("output_tokens", item.output_tokens)?;
    let cached = count("cached_input_tokens", item.cached_input_tokens)?;
    let written = count("cache_write_tokens", item.cache_write_tokens)?;
    let within = cached.unwrap_or(0).saturating_add(written.unwrap_or(0));
    if let Some(input) = input_tokens
        && within > input
    {
        return Err(format!(
            "cached_input_tokens and cache_write_tokens are {within}, input_tokens {input}: input_tokens counts \
             all input, cached tokens too; write the sum"
        ));
    }
    let ttft_ms = number("ttft_ms", item.ttft_ms, "180")?;
    let (cost_usd, price_version) = match cost(item.cost_usd)? {
        Some(cost) => (Some(cost), Some(REPORTED.to_owned())),
        None => {
            let tokens = prices::tokens(input_tokens, output_tokens, cached, written);
            setting.price(&provider, &model, None, tokens).unzip()
        }
    };
    Ok(Call {
        id,
        at,
        source: CallSource::Events,
        target: format!("{provider}/{model}"),
        provider,
        model,
        requested_model: name("requested_model", item.requested_model)?,
        route: name("route", item.route)?,
        operation: operation(item.operation)?,
        outcome,
        error,
        status,
        finish_reason: name("finish_reason", item.finish_reason)?,
        user: name("user", item.user)?,
        agent: name("agent", item.agent)?,
        key: name("key", item.key)?,
        tags: tags(item.tags)?,
        input_tokens,
        output_tokens,
        cached_input_tokens: cached,
        cache_write_tokens: written,
        latency_ms: number("latency_ms", item.latency_ms, "850")?,
        ttft_ms,
        streamed: flag("streamed", item.streamed)?.unwrap_or(ttft_ms.is_some()),
        attempts: count("attempts", item.attempts)?
            .map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX)),
        fallback: flag("fallback", item.fallback)?.unwrap_or(false),
        cache_hit: false,
        cost_usd,
        price_version,
    })
}

/// Who answered: `provider` and `model`, or both in the model as `provider/model`.
fn target(
    told_provider: Maybe<'_>,
    told_model: Maybe<'_>,
    prices: &Prices,
) -> Result<(String, String), String> {
    let model = text("model", told_model)?
        .ok_or("model is missing: write which model was asked, such as \"gpt-4o\"")?;
    if let Some(told) = text("provider", told_provider)? {
        let known = prices.name(&told);
        let model = prices.bare(&known, &model).to_owned();
        return Ok((known, model));
    }
    match model.trim().split_once('/') {
        Some((before, model)) if !before.is_empty() && !model.is_empty() => {
            Ok((prices.name(before), model.to_owned()))
        }
        _ => Err(
            "provider is missing: write who answered, such as \"openai\", or the model as \"openai/gpt-4o\""
                .to_owned(),
        ),
    }
}

fn outcome(told: Maybe<'_>, failed: bool) -> Result<Outcome, String> {
    let usual = if failed { Outcome::Error } else { Outcome::Ok };
    let Some(told) = told else {
        return Ok(usual);
    };
    let word = match &told {
        Told::Null => return Ok(usual),
        Told::Text(text) => text.trim().to_ascii_lowercase(),
        _ => String::new(),
    };
    match word.as_str() {
        "ok" | "success" | "succeeded" => Ok(Outcome::Ok),
        "error" | "failure" | "failed" => Ok(Outcome::Error),
        "cancelled" | "canceled" | "aborted" => Ok(Outcome::Cancelled),
        _ => Err(wrong(
            "outcome",
            &told,
            "\"ok\", \"error\" or \"cancelled\"",
        )),
    }
}

fn operation(told: Maybe<'_>) -> Result<Operation, String> {
    let Some(told) = text("operation", told)? else {
        return Ok(Operation::Chat);
    };
    Ok(match told.trim() {
        "chat" | "generate_content" | "responses" | "messages" => Operation::Chat,
        "completion" | "text_completion" => Operation::Completion,
        "embeddings" | "embedding" => Operation::Embeddings,
        _ => Operation::Other,
    })
}

fn status(told: Maybe<'_>) -> Result<Option<u16>, String> {
    let shown = told.clone();
    let Some(number) = count("status", told)? else {
        return Ok(None);
    };
    match u16::try_from(number) {
        Ok(status) if (100..=999).contains(&status) => Ok(Some(status)),
        _ => Err(wrong(
            "status",
            &shown.unwrap_or(Told::Null),
            "an HTTP status, such as 429",
        )),
    }
}

fn cost(told: Maybe<'_>) -> Result<Option<Usd>, String> {
    let Some(dollars) = number("cost_usd", told, "0.0042")? else {
        return Ok(None);
    };
    let usd = Usd::from_dollars(dollars).filter(|usd| *usd >= Usd::ZERO);
    match usd {
        Some(usd) => Ok(Some(usd)),
        None => Err(format!(
            "cost_usd is {dollars}: write dollars from 0 to nine million, or leave it out to have it priced"
        )),
    }
}

fn tags(told: Option<&RawValue>) -> Result<Vec<String>, String> {
    const WRITE: &str = "tags is no list of texts: write it as [\"night\", \"batch\"]";
    let Some(told) = told else {
        return Ok(Vec::new());
    };
    if let Ok(tags) = serde_json::from_str::<Option<Vec<String>>>(told.get()) {
        return Ok(tags.unwrap_or_default());
    }
    // As in our header: one text, parted by commas.
    let text: String = serde_json::from_str(told.get()).map_err(|_| WRITE.to_owned())?;
    Ok(text
        .split(',')
        .map(str::trim)
        .filter(|tag| !tag.is_empty())
        .map(str::to_owned)
        .collect())
}
