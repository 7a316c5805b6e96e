//! `[keys.NAME]` and `[limits]`.

use cockpit_model::traffic::{KeySpec, Limits};

use super::{Entry, dollars};
use crate::fields::Fields;
use crate::files::Paths;
use crate::report::Finding;
use crate::secret_place;

const LIMITS: &[&str] = &[
    "requests_per_minute",
    "tokens_per_minute",
    "usd_per_day",
    "usd_per_month",
    "models",
    "max_tokens",
];

pub(super) fn read(entry: &Entry<'_, '_>, paths: &Paths<'_>) -> Option<KeySpec> {
    let fields = entry.known(&["secret", "limits"]);
    // Without a `secret` it takes the key that `key add` makes for it; whether there is one the engine knows.
    let key = KeySpec {
        name: entry.name.clone(),
        secret: secret_place::read(&fields, paths, "secret", "APP_KEY"),
        limits: limits(&fields, "limits"),
    };
    Some(key)
}

pub(super) fn limits(fields: &Fields<'_, '_>, key: &str) -> Limits {
    let example = format!("{key} = {{ requests_per_minute = 60 }}");
    let Some(limits) = fields.section(key, LIMITS, &example) else {
        return Limits::default();
    };
    let count = |key, example| {
        let read = limits.whole(key, 1..=u64::from(u32::MAX), example);
        read.and_then(|n| u32::try_from(n.value).ok())
    };
    let models = limits.texts("models", "[\"chat\"]").map(|list| {
        if list.value.is_empty() {
            limits.report.warn(
                &list.span,
                Finding::new(format!(
                    "`{}` allows no model at all",
                    limits.path_of("models")
                ))
                .suggest("name the allowed ones, or leave the key out to allow all"),
            );
        }
        list.value.into_iter().map(|model| model.value).collect()
    });
    Limits {
        requests_per_minute: count("requests_per_minute", 60),
        tokens_per_minute: count("tokens_per_minute", 100_000),
        usd_per_day: dollars(&limits, "usd_per_day", "5"),
        usd_per_month: dollars(&limits, "usd_per_month", "100"),
        models,
        max_tokens: count("max_tokens", 4096).map(u64::from),
    }
}
