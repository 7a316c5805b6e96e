//! What a person lets pass: rules on requests, on prompts, and on answers.

mod answers;
pub(crate) mod most;
pub(crate) mod pii;
mod schema;
mod words;

use bytes::Bytes;
use cockpit_metering::wire::Request as Asked;
use cockpit_model::traffic::{ProviderKind, Rules};

pub(crate) use self::answers::{Json, judge as judge_answer};
use crate::callers::Callers;
use crate::force::Chain;
use crate::refusal::Refusal;

/// Judges how it is asked for. An Ollama does not tell capital letters from small ones: it would read a key that nobody
/// here has read.
///
/// # Errors
/// When it could mean one thing here and another there.
pub(crate) fn spelling(chain: &Chain, asked: &Asked<'_>) -> Result<(), Refusal> {
    let mut targets = chain.targets.iter();
    match asked.other_case {
        Some(key) if targets.any(|(_, one)| one.spec.kind == ProviderKind::Ollama) => {
            Err(Refusal::new(
                "caller_malformed_request",
                format!("the request's `{key}` stands in capital letters; write it in small ones"),
            ))
        }
        _ => Ok(()),
    }
}

/// Judges what is asked for.
///
/// # Errors
/// When a rule forbids it.
pub(crate) fn policy(
    callers: Callers<'_>,
    model: &str,
    chain: &Chain,
    asked: &Asked<'_>,
    rules: &Rules,
) -> Result<(), Refusal> {
    let named = |allowed: &String| {
        allowed == model
            || chain.route.is_none()
                && chain
                    .targets
                    .iter()
                    .any(|(target, _)| *allowed == target.name() || *allowed == target.model)
    };
    for one in callers.limits() {
        if let Some(models) = &one.limits.models
            && !models.iter().any(named)
        {
            return Err(Refusal::new(
                "policy_model",
                format!("{} may not ask for `{model}`", one.who()),
            ));
        }
    }
    if let (Some(most), Some(wanted)) = (most::allowed(callers, rules), asked.max_tokens)
        && wanted > most
    {
        return Err(Refusal::new(
            "policy_max_tokens",
            format!("{wanted} tokens of output were asked for, {most} are allowed; ask for fewer"),
        ));
    }
    Ok(())
}

/// Whether a refusal is by a rule of a person's, and somebody should know of it. Limits and budgets are no such rules:
/// reaching them is nobody's fault.
pub(crate) fn is_violation(refusal: &Refusal) -> bool {
    matches!(
        refusal.code,
        "policy_model" | "policy_max_tokens" | "policy_blocked_word" | "policy_pii"
    )
}

/// Judges what the model is to read.
///
/// # Errors
/// When a rule forbids it.
pub(crate) fn prompt(body: &Bytes, rules: &Rules) -> Result<(), Refusal> {
    if let Some(word) = words::find(body, &rules.blocked_words) {
        return Err(Refusal::new(
            "policy_blocked_word",
            format!("the prompt holds a word that may not leave this machine: `{word}`"),
        ));
    }
    Ok(())
}
