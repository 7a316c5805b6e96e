//! What can be accounted for, and what not.

use cockpit_model::{Call, Record, Report, Timestamp, Usd};

/// Names are at most this long, in bytes.
const LONGEST_NAME: usize = 256;
/// Labels of a call.
const MOST_TAGS: usize = 32;
/// What a report may tell besides its fields, in bytes.
const LONGEST_BODY: usize = 64 << 10;
/// Tokens of one call; beyond this a figure is a mistake.
const MOST_TOKENS: u64 = 1 << 40;
/// A day in milliseconds; beyond it a duration is a mistake.
const LONGEST_MS: f64 = 86_400_000.0;
/// How far ahead a reporter's clock may be, in seconds.
const AHEAD: i64 = 3600;

/// Why a reported record cannot be accounted for; `None` if it can. `oldest` and `now` in Unix seconds.
pub(crate) fn refusal(record: &Record, oldest: i64, now: i64) -> Option<String> {
    nameless(record)
        .or_else(|| of_time(time(record), oldest, now))
        .or_else(|| match record {
            Record::Call(call) => of_call(call),
            Record::Report(report) => of_report(report),
        })
}

/// Why a record has no place in the ledger whenever it happened; `None` if it has. Of one of our own nothing else is
/// asked: it happened, also where nobody could be found who answers.
pub(crate) fn nameless(record: &Record) -> Option<String> {
    let id = match record {
        Record::Call(call) => &call.id,
        Record::Report(report) => &report.id,
    };
    if id.is_empty() {
        return Some("id is empty".to_owned());
    }
    (id.len() > LONGEST_NAME).then(|| format!("id is longer than {LONGEST_NAME} bytes"))
}

fn time(record: &Record) -> Timestamp {
    match record {
        Record::Call(call) => call.at,
        Record::Report(report) => report.at,
    }
}

fn of_time(at: Timestamp, oldest: i64, now: i64) -> Option<String> {
    if at.as_second() < oldest {
        return Some(format!("at ({at}) is older than what is kept"));
    }
    if at.as_second() > now.saturating_add(AHEAD) {
        return Some(format!("at ({at}) is in the future"));
    }
    None
}

fn of_call(call: &Call) -> Option<String> {
    for (field, name) in names(call) {
        if name.len() > LONGEST_NAME {
            return Some(format!("{field} is longer than {LONGEST_NAME} bytes"));
        }
    }
    for (field, name) in [("provider", &call.provider), ("model", &call.model)] {
        if name.is_empty() {
            return Some(format!("{field} is empty"));
        }
    }
    if call.target.len() > 2 * LONGEST_NAME + 1 {
        return Some("target is too long".to_owned());
    }
    if call.tags.len() > MOST_TAGS {
        return Some(format!("more than {MOST_TAGS} tags"));
    }
    for (field, tokens) in [
        ("input_tokens", call.input_tokens),
        ("output_tokens", call.output_tokens),
        ("cached_input_tokens", call.cached_input_tokens),
        ("cache_write_tokens", call.cache_write_tokens),
    ] {
        if tokens.is_some_and(|tokens| tokens > MOST_TOKENS) {
            return Some(format!("{field} is too large"));
        }
    }
    for (field, ms) in [("latency_ms", call.latency_ms), ("ttft_ms", call.ttft_ms)] {
        if ms.is_some_and(|ms| !(0.0..=LONGEST_MS).contains(&ms)) {
            return Some(format!("{field} is not between 0 and a day"));
        }
    }
    call.cost_usd
        .is_some_and(|cost| cost < Usd::ZERO)
        .then(|| "cost_usd is negative".to_owned())
}

fn of_report(report: &Report) -> Option<String> {
    for (field, name) in [
        ("user", &report.user),
        ("agent", &report.agent),
        ("key", &report.key),
    ] {
        if name.as_ref().is_some_and(|name| name.len() > LONGEST_NAME) {
            return Some(format!("{field} is longer than {LONGEST_NAME} bytes"));
        }
    }
    if report.body.len() > LONGEST_BODY {
        return Some(format!("it tells more than {LONGEST_BODY} bytes"));
    }
    report
        .score
        .is_some_and(|score| !(0.0..=1.0).contains(&score))
        .then(|| "score is not between 0 and 1".to_owned())
}

fn names(call: &Call) -> impl Iterator<Item = (&'static str, &String)> {
    let given = [
        ("provider", Some(&call.provider)),
        ("model", Some(&call.model)),
        ("requested_model", call.requested_model.as_ref()),
        ("route", call.route.as_ref()),
        ("error", call.error.as_ref()),
        ("finish_reason", call.finish_reason.as_ref()),
        ("user", call.user.as_ref()),
        ("agent", call.agent.as_ref()),
        ("key", call.key.as_ref()),
        ("price_version", call.price_version.as_ref()),
    ];
    given
        .into_iter()
        .filter_map(|(field, name)| Some((field, name?)))
        .chain(call.tags.iter().map(|tag| ("a tag", tag)))
}

/// Makes what is our own fit: it happened, so it counts, less what cannot be told of it. Where the clock was wrong when it
/// began, it happened now.
pub(crate) fn fit(record: &mut Record, oldest: i64, now: Timestamp) {
    let was_wrong = of_time(time(record), oldest, now.as_second()).is_some();
    match record {
        Record::Call(call) => {
            fit_call(call);
            call.at = if was_wrong { now } else { call.at };
        }
        Record::Report(report) => {
            fit_report(report);
            report.at = if was_wrong { now } else { report.at };
        }
    }
}

fn fit_call(call: &mut Call) {
    for name in [
        &mut call.id,
        &mut call.provider,
        &mut call.model,
        &mut call.target,
    ] {
        clip(name);
    }
    for name in [
        &mut call.requested_model,
        &mut call.route,
        &mut call.error,
        &mut call.finish_reason,
        &mut call.user,
        &mut call.agent,
        &mut call.key,
        &mut call.price_version,
    ]
    .into_iter()
    .flatten()
    .chain(&mut call.tags)
    {
        clip(name);
    }
    call.tags.truncate(MOST_TAGS);
    for ms in [&mut call.latency_ms, &mut call.ttft_ms] {
        *ms = ms.filter(|ms| (0.0..=LONGEST_MS).contains(ms));
    }
    for tokens in [
        &mut call.input_tokens,
        &mut call.output_tokens,
        &mut call.cached_input_tokens,
        &mut call.cache_write_tokens,
    ] {
        *tokens = tokens.filter(|tokens| *tokens <= MOST_TOKENS);
    }
    call.cost_usd = call.cost_usd.filter(|cost| *cost >= Usd::ZERO);
}

fn fit_report(report: &mut Report) {
    for name in [&mut report.user, &mut report.agent, &mut report.key]
        .into_iter()
        .flatten()
    {
        clip(name);
    }
    report.score = report.score.filter(|score| (0.0..=1.0).contains(score));
}

/// Cut at a character's border.
fn clip(name: &mut String) {
    if name.len() > LONGEST_NAME {
        let end = (0..=LONGEST_NAME)
            .rev()
            .find(|at| name.is_char_boundary(*at))
            .unwrap_or(0);
        name.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let mut name = "é".repeat(200);
        clip(&mut name);
        assert_eq!(name, "é".repeat(128));
        let mut name = format!("x{}", "é".repeat(200));
        clip(&mut name);
        assert_eq!(name.len(), 255);
    }
}
