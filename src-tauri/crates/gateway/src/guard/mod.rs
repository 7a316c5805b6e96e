//! What a person lets pass: rules on requests, on prompts, and on answers.

mod answers;
mod words;

use bytes::Bytes;
use cockpit_metering::wire::Request as Asked;
use cockpit_model::traffic::{KeySpec, Rules};

pub(crate) use self::answers::judge as judge_answer;
use crate::force::Chain;
use crate::refusal::Refusal;

/// Judges what is asked for.
///
/// # Errors
/// When a rule forbids it.
pub(crate) fn policy(
    key: Option<&KeySpec>,
    model: &str,
    chain: &Chain,
    asked: &Asked<'_>,
    rules: &Rules,
) -> Result<(), Refusal> {
    if let Some(key) = key
        && let Some(models) = &key.limits.models
    {
        let named = |allowed: &String| {
            allowed == model
                || chain.route.is_none()
                    && chain.targets.iter().any(|(target, _)| {
                        *allowed == target.to_string() || *allowed == target.model
                    })
        };
        if !models.iter().any(named) {
            return Err(Refusal::new(
                "policy_model",
                format!("the key `{}` may not ask for `{model}`", key.name),
            ));
        }
    }
    let most = [rules.max_tokens, key.and_then(|key| key.limits.max_tokens)];
    if let (Some(most), Some(wanted)) = (most.into_iter().flatten().min(), asked.max_tokens)
        && wanted > most
    {
        return Err(Refusal::new(
            "policy_max_tokens",
            format!("{wanted} tokens of output were asked for, {most} are allowed; ask for fewer"),
        ));
    }
    Ok(())
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
