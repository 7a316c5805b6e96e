//! `usage`: what requests to models amounted to.

use std::io::{self, Write};

use cockpit_model::Usd;
use cockpit_model::usage::{Business, Group, Interruption, Percentiles, Security, Totals, Usage};

use crate::cli::args::{By, Reading};
use crate::cli::failure::Done;
use crate::cli::style::{self, Cell, Style, Tone};

pub(in crate::cli) async fn usage(reading: &Reading, window: &str, by: Option<By>) -> Done {
    let client = reading.common.client()?;
    let mut path = format!("/api/usage?window={window}");
    if let Some(by) = by {
        path.push_str("&group_by=");
        path.push_str(by.as_str());
    }
    let mut out = io::stdout().lock();
    if reading.json {
        let answer = client.get_bytes(&path).await?;
        out.write_all(&answer)?;
        writeln!(out)?;
        return Ok(());
    }
    let usage: Usage = client.get(&path).await?;
    if usage.totals.calls == 0 {
        writeln!(
            out,
            "No requests to models in the last {window}. They are counted when they go through the gateway ([gateway] in cockpit.toml)."
        )?;
    } else {
        let style = Style::of(&io::stdout());
        style::table(&mut out, style, &rows(&usage, by))?;
        if !usage.totals.latency_ms.exact {
            writeln!(out, "Percentiles are within 1 % of the exact ones.")?;
        }
    }
    let lines = [came_of_it(&usage.business), at_the_gate(&usage.security)];
    for line in lines.into_iter().flatten() {
        writeln!(out, "{line}")?;
    }
    for line in missing(&usage.interruptions) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// What people got out of it, as far as anybody tells; `None` when nobody does.
fn came_of_it(business: &Business) -> Option<String> {
    let counted = |count: u64, what: &str| {
        let s = if count == 1 { "" } else { "s" };
        (count > 0).then(|| format!("{} {what}{s}", grouped(count)))
    };
    let tasks = counted(business.tasks, "task").map(|tasks| match business.completion_rate {
        Some(rate) => format!("{tasks}, {:.0} % completed", rate * 100.0),
        None => tasks,
    });
    let liked = business.satisfaction.map(|satisfaction| {
        format!(
            "satisfaction {:.0} % of {}",
            satisfaction * 100.0,
            counted(business.feedback, "answer").unwrap_or_default()
        )
    });
    let parts = [counted(business.active_users, "active user"), tasks, liked];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("{}.", parts.join("; ")))
}

/// When requests may be missing; of many such times the newest.
fn missing(interruptions: &[Interruption]) -> Vec<String> {
    const SHOWN: usize = 3;
    let more = interruptions.len().saturating_sub(SHOWN);
    let shown = interruptions.iter().rev().take(SHOWN).map(|one| {
        let time = |at: cockpit_model::Timestamp| at.strftime("%Y-%m-%d %H:%M:%S").to_string();
        format!(
            "Requests between {} and {} UTC may be missing: the engine ended abruptly.",
            time(one.from),
            time(one.to)
        )
    });
    let rest = (more > 0).then(|| format!("So may some of {more} earlier times."));
    shown.chain(rest).collect()
}

/// A count with its thousands apart.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn rows(usage: &Usage, by: Option<By>) -> Vec<Vec<Cell>> {
    let head = by.map_or("", By::as_str).to_uppercase();
    let heads = [
        head.as_str(),
        "CALLS",
        "ERRORS",
        "CANCELLED",
        "INPUT",
        "CACHED",
        "OUTPUT",
        "COST",
        "P50",
        "P95",
        "P99",
        "FIRST TOKEN P50",
        "TOKENS/S",
    ];
    let faint = |text: &str| (text.to_owned(), Tone::Faint);
    let mut rows = vec![heads.map(faint).to_vec()];
    rows.extend(
        usage
            .groups
            .iter()
            .map(|group| row(&name(group), &group.totals)),
    );
    rows.push(row("all", &usage.totals));
    rows
}

fn name(group: &Group) -> String {
    match &group.key {
        Some(key) => style::printable(key, Style::PLAIN),
        None if group.rest => "the rest".to_owned(),
        None => "(none)".to_owned(),
    }
}

fn row(name: &str, totals: &Totals) -> Vec<Cell> {
    let plain = |text: String| (text, Tone::Plain);
    let count = |n: u64| plain(if n == 0 { String::new() } else { grouped(n) });
    let errors = if totals.errors == 0 {
        Tone::Plain
    } else {
        Tone::Bad
    };
    let [p50, p95, p99] = percentiles(&totals.latency_ms);
    vec![
        plain(name.to_owned()),
        plain(grouped(totals.calls)),
        (count(totals.errors).0, errors),
        count(totals.cancelled),
        count(totals.input_tokens),
        count(totals.cached_input_tokens),
        count(totals.output_tokens),
        plain(cost(totals)),
        plain(p50),
        plain(p95),
        plain(p99),
        plain(millis(totals.ttft_ms.p50)),
        plain(
            totals
                .output_tokens_per_second
                .map_or_else(String::new, |rate| format!("{rate:.0}")),
        ),
    ]
}

/// What was noticed at the gate, if anything.
fn at_the_gate(security: &Security) -> Option<String> {
    let found: Vec<String> = [
        (
            security.failed_authentications,
            "failed authentication",
            "failed authentications",
        ),
        (
            security.unusual_access,
            "unusual access",
            "unusual accesses",
        ),
        (
            security.pii_detections,
            "piece of personal data in prompts",
            "pieces of personal data in prompts",
        ),
        (security.policy_violations, "broken rule", "broken rules"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
    .collect();
    (!found.is_empty()).then(|| format!("At the gate: {}.", found.join(", ")))
}

/// What is priced, and whether there is more.
fn cost(totals: &Totals) -> String {
    let unpriced = match totals.unpriced_calls {
        0 => String::new(),
        n => format!("{n} unpriced"),
    };
    match totals.cost_usd {
        None => unpriced,
        Some(cost) if unpriced.is_empty() => dollars(cost),
        Some(cost) => format!("{} + {unpriced}", dollars(cost)),
    }
}

/// Four digits that stand below each other; of less than a cent as many as it takes to say something.
fn dollars(cost: Usd) -> String {
    if cost.dollars() < 0.01 && cost > Usd::ZERO {
        format!("${}", cost.told())
    } else {
        format!("${:.4}", cost.dollars())
    }
}

fn percentiles(latency: &Percentiles) -> [String; 3] {
    [latency.p50, latency.p95, latency.p99].map(millis)
}

fn millis(time: Option<f64>) -> String {
    match time {
        None => String::new(),
        Some(ms) if ms < 1000.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_told_as_far_as_it_is_known() {
        assert_eq!(came_of_it(&Business::default()), None);
        let business = Business {
            active_users: 1,
            tasks: 1200,
            tasks_completed: 1100,
            completion_rate: Some(1100.0 / 1200.0),
            feedback: 2,
            satisfaction: Some(0.75),
        };
        assert_eq!(
            came_of_it(&business).as_deref(),
            Some("1 active user; 1,200 tasks, 92 % completed; satisfaction 75 % of 2 answers.")
        );
    }

    #[test]
    fn of_many_interruptions_the_newest_are_told() {
        let at = |second| cockpit_model::Timestamp::from_second(second).unwrap_or_default();
        let all: Vec<Interruption> = (0..5)
            .map(|n| Interruption {
                from: at(n * 60),
                to: at(n * 60 + 1),
            })
            .collect();
        let told = missing(&all);
        assert_eq!(
            told.first().map(String::as_str),
            Some(
                "Requests between 1970-01-01 00:04:00 and 1970-01-01 00:04:01 UTC may be missing: the engine ended abruptly."
            )
        );
        assert_eq!(
            told.last().map(String::as_str),
            Some("So may some of 2 earlier times.")
        );
        assert_eq!(missing(&[]), [""; 0]);
    }

    #[test]
    fn a_price_that_is_not_known_is_told_as_such() {
        let totals = |cost, unpriced_calls| Totals {
            cost_usd: cost,
            unpriced_calls,
            ..Totals::default()
        };
        let two = Usd::from_dollars(2.0);
        assert_eq!(cost(&totals(two, 0)), "$2.0000");
        assert_eq!(cost(&totals(two, 3)), "$2.0000 + 3 unpriced");
        assert_eq!(cost(&totals(None, 3)), "3 unpriced");
        assert_eq!(cost(&totals(Some(Usd::ZERO), 0)), "$0.0000");
        let little = Usd::from_dollars(0.000_012_3);
        assert_eq!(cost(&totals(little, 0)), "$0.000012", "not nothing");
    }

    #[test]
    fn the_gate_tells_only_what_was_noticed() {
        assert_eq!(at_the_gate(&Security::default()), None);
        let security = Security {
            failed_authentications: 1,
            policy_violations: 12,
            ..Security::default()
        };
        let line = at_the_gate(&security);
        assert_eq!(
            line.as_deref(),
            Some("At the gate: 1 failed authentication, 12 broken rules.")
        );
    }

    #[test]
    fn times_are_as_long_as_they_need_to_be() {
        assert_eq!(millis(Some(12.4)), "12 ms");
        assert_eq!(millis(Some(2500.0)), "2.5 s");
        assert_eq!(millis(None), "");
    }
}
