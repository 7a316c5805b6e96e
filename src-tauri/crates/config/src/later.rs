//! Sections whose features are not there yet: judged in full, so that they stand when the features
//! come, and each answered with a warning.

use crate::fields::Fields;
use crate::files::Paths;
use crate::report::Finding;
use crate::{probe, secret_place};

pub(crate) fn read(root: &Fields<'_, '_>, paths: &Paths<'_>) {
    alerts(root, paths);
    if let Some(incidents) = root.section(
        "incidents",
        &["mitigate_after", "resolve_after"],
        "[incidents]",
    ) {
        unused(&incidents);
        incidents.duration("mitigate_after", "60s");
        incidents.duration("resolve_after", "10m");
    }
}

pub(crate) fn unused(fields: &Fields<'_, '_>) {
    fields.report.warn(
        &fields.at,
        Finding::new(format!("[{}]: accepted, not used yet", fields.path)).unquoted(),
    );
}

fn alerts(root: &Fields<'_, '_>, paths: &Paths<'_>) {
    let Some(alerts) = root.section("alerts", &["group_wait", "slack", "pagerduty"], "[alerts]")
    else {
        return;
    };
    unused(&alerts);
    alerts.duration("group_wait", "30s");
    if let Some(slack) = alerts.section("slack", &["webhook"], "[alerts.slack]") {
        unused(&slack);
        secret_place::read(&slack, paths, "webhook", "SLACK_WEBHOOK_URL");
    }
    if let Some(pagerduty) =
        alerts.section("pagerduty", &["routing_key", "url"], "[alerts.pagerduty]")
    {
        unused(&pagerduty);
        secret_place::read(&pagerduty, paths, "routing_key", "PAGERDUTY_KEY");
        url(&pagerduty, "url", "https://events.pagerduty.com");
    }
}

fn url(fields: &Fields<'_, '_>, key: &str, example: &str) {
    let Some(text) = fields.open_text(key, example) else {
        return;
    };
    if let Err(why) = probe::check_url(&text.value, &["http", "https"]) {
        fields.report.error(
            &text.span,
            Finding::new(format!("`{}` {why}", fields.path_of(key)))
                .suggest(format!("for example {key} = \"{example}\"")),
        );
    }
}
