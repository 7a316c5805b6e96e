//! `[prices]`: the list of what vendors ask, fetched from time to time.

use std::time::Duration;

use serde::Serialize;

use crate::fields::Fields;
use crate::probe;
use crate::report::Finding;

/// Where LiteLLM keeps it.
const LIST: &str =
    "https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json";
const EVERY: Duration = Duration::from_hours(24);
/// It changes a few times a day, and is somebody's to serve.
const LEAST: Duration = Duration::from_hours(1);

/// Where prices are fetched, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PricesConfig {
    /// A list in LiteLLM's form.
    pub url: String,
    /// How old it may become.
    pub refresh: Duration,
}

pub(crate) fn read(root: &Fields<'_, '_>) -> Option<PricesConfig> {
    let fields = root.section("prices", &["url", "refresh"], "[prices]")?;
    let url = url(&fields).unwrap_or_else(|| LIST.to_owned());
    let refresh = fields.duration("refresh", "24h").map_or(EVERY, |refresh| {
        if refresh.value < LEAST {
            fields.report.error(
                &refresh.span,
                Finding::new(format!(
                    "`{}` is shorter than an hour",
                    fields.path_of("refresh")
                ))
                .suggest("the list changes a few times a day: refresh = \"24h\""),
            );
        }
        refresh.value
    });
    Some(PricesConfig { url, refresh })
}

fn url(fields: &Fields<'_, '_>) -> Option<String> {
    let url = fields.open_text("url", LIST)?;
    let why = match probe::check_url(&url.value, &["http", "https"]) {
        Err(why) => Some(why),
        // Budgets rest on it: nobody on the way may change it.
        Ok(()) if url.value.starts_with("http:") && !is_here(&url.value) => {
            Some("must be https, unless it is of this machine")
        }
        Ok(()) => None,
    };
    if let Some(why) = why {
        fields.report.error(
            &url.span,
            Finding::new(format!("`{}` {why}", fields.path_of("url")))
                .suggest(format!("leave it out for LiteLLM's list, {LIST}")),
        );
    }
    Some(url.value)
}

fn is_here(url: &str) -> bool {
    crate::address::Address::of_url(url).is_some_and(|at| at.is_loopback())
}
