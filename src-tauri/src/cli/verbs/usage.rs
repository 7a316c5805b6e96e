//! `usage`: what requests to models amounted to.

use std::io::{self, Write};

use cockpit_model::usage::{Group, Percentiles, Security, Totals, Usage};

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
    if let Some(line) = at_the_gate(&usage.security) {
        writeln!(out, "{line}")?;
    }
    Ok(())
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
    let count = |n: u64| plain(if n == 0 { String::new() } else { n.to_string() });
    let errors = if totals.errors == 0 {
        Tone::Plain
    } else {
        Tone::Bad
    };
    let [p50, p95, p99] = percentiles(&totals.latency_ms);
    vec![
        plain(name.to_owned()),
        plain(totals.calls.to_string()),
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
        Some(cost) if unpriced.is_empty() => format!("${:.4}", cost.dollars()),
        Some(cost) => format!("${:.4} + {unpriced}", cost.dollars()),
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
    use cockpit_model::Usd;

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
