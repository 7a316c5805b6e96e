//! OpenTelemetry's measurements in Prometheus' text exposition format, by the compatibility rules of the two.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::attributes::{Attributes, text};
use super::metrics::{Family, Kind, Value};

/// The longest value of a label, in characters.
const LONGEST_VALUE: usize = 256;
/// Labels of a series.
const MOST_LABELS: usize = 32;

/// A family's name: plain characters, its unit at the end, `_total` for what only grows.
pub(super) fn name(told: &str, unit: &str, kind: Kind) -> String {
    let mut name = plain(told, true);
    name.truncate(200);
    let total = name.strip_suffix("_total").map(str::to_owned);
    if let Some(bare) = total
        && kind == Kind::Counter
    {
        name = bare;
    }
    let unit = unit_word(unit, kind);
    if !unit.is_empty() && !name.ends_with(&unit) {
        name.push('_');
        name.push_str(&unit);
    }
    if kind == Kind::Counter {
        name.push_str("_total");
    }
    name
}

fn plain(told: &str, colon: bool) -> String {
    let mut out = String::with_capacity(told.len());
    for c in told.chars() {
        let fits = c.is_ascii_alphanumeric() || c == '_' || colon && c == ':';
        if fits && !(out.is_empty() && c.is_ascii_digit()) {
            out.push(c);
        } else if fits {
            out.push('_');
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    out.trim_end_matches('_').to_owned()
}

fn unit_word(unit: &str, kind: Kind) -> String {
    let one = |unit: &str| -> String {
        match unit {
            "s" => "seconds",
            "ms" => "milliseconds",
            "us" | "µs" => "microseconds",
            "ns" => "nanoseconds",
            "min" => "minutes",
            "h" => "hours",
            "d" => "days",
            "By" => "bytes",
            "KiBy" => "kibibytes",
            "MiBy" => "mebibytes",
            "GiBy" => "gibibytes",
            "kBy" => "kilobytes",
            "MBy" => "megabytes",
            "GBy" => "gigabytes",
            "%" => "percent",
            "Hz" => "hertz",
            "Cel" => "celsius",
            other => return plain(other, false),
        }
        .to_owned()
    };
    // What stands in braces is a remark, not a unit.
    let bare = unit.split('{').next().unwrap_or_default().trim();
    match bare {
        "" => String::new(),
        "1" if kind == Kind::Gauge => "ratio".to_owned(),
        "1" => String::new(),
        _ => match bare.split_once('/') {
            Some((what, "s")) => format!("{}_per_second", one(what)),
            Some((what, per)) => format!("{}_per_{}", one(what), one(per).trim_end_matches('s')),
            None => one(bare),
        },
    }
}

/// The labels of a series as they are written, without the braces.
pub(super) fn labels(point: Attributes<'_>, about: Attributes<'_>, scope: &str) -> String {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut put = |name: String, value: &str| {
        if !name.is_empty() && all.len() < MOST_LABELS {
            let value = value.chars().take(LONGEST_VALUE).collect();
            all.entry(name).or_insert(value);
        }
    };
    for (label, attribute) in [
        ("service_name", "service.name"),
        ("service_instance_id", "service.instance.id"),
    ] {
        if let Some(value) = about.text(&[attribute]) {
            put(label.to_owned(), &value);
        }
    }
    if !scope.is_empty() {
        put("otel_scope_name".to_owned(), scope);
    }
    for one in point.0 {
        let mut label = plain(&one.key, false);
        // These two the format itself needs.
        if label == "le" || label == "quantile" {
            label.push('_');
        }
        let value = one
            .value
            .as_ref()
            .and_then(|value| text(value.value.as_ref()?));
        put(label, &value.unwrap_or_default());
    }
    let mut out = String::new();
    for (name, value) in all {
        let comma = if out.is_empty() { "" } else { "," };
        let value = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        // Writing to a text cannot fail.
        let _ = write!(out, "{comma}{name}=\"{value}\"");
    }
    out
}

/// All of it.
pub(super) fn write(families: &BTreeMap<String, Family>) -> String {
    let mut out = String::new();
    for (name, family) in families {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        };
        let help = family.help.replace('\\', "\\\\").replace('\n', " ");
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, row) in &family.rows {
            match &row.value {
                Value::One(value) => sample(&mut out, name, labels, None, *value),
                Value::Spread {
                    buckets,
                    sum,
                    count,
                } => {
                    let bucket = format!("{name}_bucket");
                    for (bound, below) in buckets.iter().filter(|(bound, _)| bound.is_finite()) {
                        sample(
                            &mut out,
                            &bucket,
                            labels,
                            Some(("le", *bound)),
                            *below as f64,
                        );
                    }
                    sample(
                        &mut out,
                        &bucket,
                        labels,
                        Some(("le", f64::INFINITY)),
                        *count as f64,
                    );
                    if let Some(sum) = sum {
                        sample(&mut out, &format!("{name}_sum"), labels, None, *sum);
                    }
                    sample(
                        &mut out,
                        &format!("{name}_count"),
                        labels,
                        None,
                        *count as f64,
                    );
                }
                Value::Quantiles { at, sum, count } => {
                    for (quantile, value) in at {
                        sample(
                            &mut out,
                            name,
                            labels,
                            Some(("quantile", *quantile)),
                            *value,
                        );
                    }
                    sample(&mut out, &format!("{name}_sum"), labels, None, *sum);
                    sample(
                        &mut out,
                        &format!("{name}_count"),
                        labels,
                        None,
                        *count as f64,
                    );
                }
            }
        }
    }
    out
}

fn sample(out: &mut String, name: &str, labels: &str, own: Option<(&str, f64)>, value: f64) {
    out.push_str(name);
    if own.is_some() || !labels.is_empty() {
        out.push('{');
        out.push_str(labels);
        if let Some((label, at)) = own {
            let comma = if labels.is_empty() { "" } else { "," };
            let _ = write!(out, "{comma}{label}=\"{}\"", number(at));
        }
        out.push('}');
    }
    let _ = writeln!(out, " {}", number(value));
}

/// The format's words for what is not finite; Rust's own are others.
fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}
