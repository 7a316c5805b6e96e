//! Log records: evaluations are feedback, other records are kept with their severity and text.
//!
//! A plain line tells little that the services' own logs do not, and applications write many. So what is below `INFO`
//! is refused, and so are more than [`BURST`] records at once and [`PER_SECOND`] in the long run; the sender is told.
//! Warnings and errors, and events that have a name, come first: only the plain ones are held to the smaller half.
//! Events of the GenAI conventions that hold prompts and answers are taken and not kept.

use std::time::Instant;

use cockpit_model::{Record, Report, ReportKind, Timestamp};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::attributes::{Attributes, hex, json as value_as_json, moment, object, service};
use super::{Refused, Translated};
use crate::ingest::Setting;

/// The conventions' event of a judgement.
pub(super) const EVALUATION: &str = "gen_ai.evaluation.result";
/// Records at once.
pub(super) const BURST: f64 = 4000.0;
/// Records a second, in the long run.
pub(super) const PER_SECOND: f64 = 10.0;
/// What is kept of a record's text, in bytes.
const LONGEST_TEXT: usize = 8 << 10;
/// What is kept of its attributes, as JSON.
const LONGEST_ATTRIBUTES: usize = 16 << 10;
/// How deep values may lie in each other.
const DEPTH: usize = 6;
/// Severities: from here on it is worth keeping, and from here on somebody should look.
const INFO: i32 = 9;
const WARN: i32 = 13;

/// How many records are kept. Pure: the time is passed in.
#[derive(Debug)]
pub struct Quota {
    left: f64,
    at: Option<Instant>,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            left: BURST,
            at: None,
        }
    }
}

impl Quota {
    /// Whether one more is kept.
    fn take(&mut self, now: Instant, plain: bool) -> bool {
        if let Some(before) = self.at {
            let passed = now.saturating_duration_since(before).as_secs_f64();
            self.left = (self.left + passed * PER_SECOND).min(BURST);
        }
        self.at = Some(now);
        let reserve = if plain { BURST / 2.0 } else { 0.0 };
        if self.left - 1.0 < reserve {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

/// What is to be kept of these records.
pub fn translate(
    request: &ExportLogsServiceRequest,
    setting: &Setting,
    quota: &mut Quota,
    now: Instant,
) -> Translated {
    let mut out = Translated::default();
    for resource in &request.resource_logs {
        let about = resource.resource.as_ref();
        let service = service(Attributes(about.map_or(&[], |about| &about.attributes)));
        for scope in &resource.scope_logs {
            let scope_name = scope.scope.as_ref().map_or("", |scope| scope.name.as_str());
            for record in &scope.log_records {
                let read = one(
                    record,
                    service.as_deref(),
                    scope_name,
                    setting,
                    quota,
                    now,
                    &mut out.refused,
                );
                out.records.extend(read.map(Record::Report));
            }
        }
    }
    out
}

fn one(
    record: &LogRecord,
    service: Option<&str>,
    scope: &str,
    setting: &Setting,
    quota: &mut Quota,
    now: Instant,
    refused: &mut Refused,
) -> Option<Report> {
    let told = Attributes(&record.attributes);
    let event = if record.event_name.is_empty() {
        told.text(&["event.name"]).unwrap_or_default()
    } else {
        record.event_name.as_str().into()
    };
    let at = moment(record.time_unix_nano)
        .or_else(|| moment(record.observed_time_unix_nano))
        .unwrap_or(setting.now);
    if event == EVALUATION {
        return Some(evaluation(told, identity(record, service, scope), at));
    }
    if event.starts_with("gen_ai.") {
        return None;
    }
    let severity = severity(record);
    if event.is_empty() && severity < INFO {
        refused.push("log records below INFO are not kept: raise the exporter's level");
        return None;
    }
    if !quota.take(now, event.is_empty() && severity < WARN) {
        refused.push(format!(
            "more than {PER_SECOND} log records a second are not kept: export warnings and errors only"
        ));
        return None;
    }
    Some(Report {
        id: identity(record, service, scope),
        kind: ReportKind::Custom,
        at,
        user: told
            .text(&["user.id", "enduser.id"])
            .map(|user| user.trim().to_owned()),
        agent: told
            .text(&["gen_ai.agent.name"])
            .map(|agent| agent.trim().to_owned()),
        key: None,
        ok: None,
        score: None,
        body: body(record, &event, severity, service, scope),
    })
}

/// The number, or what the word means; a record without either is ordinary.
fn severity(record: &LogRecord) -> i32 {
    if record.severity_number > 0 {
        return record.severity_number;
    }
    match record.severity_text.trim().to_ascii_lowercase().as_str() {
        "trace" => 1,
        "debug" | "verbose" => 5,
        "warn" | "warning" => WARN,
        "error" | "err" => 17,
        "fatal" | "critical" | "panic" | "emergency" | "alert" => 21,
        _ => INFO,
    }
}

fn word(severity: i32) -> &'static str {
    match severity {
        ..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        _ => "FATAL",
    }
}

fn body(
    record: &LogRecord,
    event: &str,
    severity: i32,
    service: Option<&str>,
    scope: &str,
) -> String {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() && value != "" {
            body.insert(name.to_owned(), value);
        }
    };
    put("severity", Value::from(word(severity)));
    put("event", Value::from(short(event, 256)));
    put("message", message(record));
    put("service", Value::from(service.map(|name| short(name, 256))));
    put("scope", Value::from(short(scope, 256)));
    put("trace_id", Value::from(hex(&record.trace_id)));
    put("span_id", Value::from(hex(&record.span_id)));
    // What the conventions put there are prompts and answers.
    let kept: Vec<_> = record
        .attributes
        .iter()
        .filter(|one| !one.key.starts_with("gen_ai.") && one.key != "event.name")
        .take(64)
        .cloned()
        .collect();
    let attributes = object(&kept, DEPTH);
    if !attributes.is_empty() {
        let attributes = Value::Object(attributes);
        if attributes.to_string().len() <= LONGEST_ATTRIBUTES {
            put("attributes", attributes);
        } else {
            put("attributes", json!("too long to be kept"));
        }
    }
    Value::Object(body).to_string()
}

fn message(record: &LogRecord) -> Value {
    let Some(body) = &record.body else {
        return Value::Null;
    };
    match value_as_json(body, DEPTH) {
        Value::String(text) => Value::from(short(&text, LONGEST_TEXT)),
        nested @ (Value::Object(_) | Value::Array(_)) => {
            let text = nested.to_string();
            if text.len() <= LONGEST_TEXT {
                nested
            } else {
                Value::from(short(&text, LONGEST_TEXT))
            }
        }
        other => other,
    }
}

fn short(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at));
    format!("{}…", text.get(..end.unwrap_or(0)).unwrap_or_default())
}

/// What makes a record count once: log records have no id, so it is made of all they say.
fn identity(record: &LogRecord, service: Option<&str>, scope: &str) -> String {
    use prost::Message as _;
    let mut hash = Sha256::new();
    hash.update(service.unwrap_or_default());
    hash.update([0]);
    hash.update(scope);
    hash.update([0]);
    hash.update(record.encode_to_vec());
    let hash = hash.finalize();
    format!("log:{}", hex(hash.get(..16).unwrap_or(&hash)))
}

/// A judgement. A score that is on no scale from 0 to 1 and has no known label is kept, and counts for nothing.
pub(super) fn evaluation(told: Attributes<'_>, id: String, at: Timestamp) -> Report {
    let value = told.number(&["gen_ai.evaluation.score.value", "gen_ai.evaluation.score"]);
    let label = told.text(&["gen_ai.evaluation.score.label", "gen_ai.evaluation.label"]);
    let judged = label
        .as_deref()
        .and_then(|label| match label.to_ascii_lowercase().as_str() {
            "pass" | "passed" | "good" | "correct" | "relevant" | "positive" | "true" => Some(1.0),
            "fail" | "failed" | "bad" | "incorrect" | "irrelevant" | "not_relevant"
            | "negative" | "false" => Some(0.0),
            _ => None,
        });
    let score = value.filter(|value| (0.0..=1.0).contains(value)).or(judged);
    let mut body = Map::new();
    for (name, told_as) in [
        ("evaluation", "gen_ai.evaluation.name"),
        ("label", "gen_ai.evaluation.score.label"),
        ("explanation", "gen_ai.evaluation.explanation"),
        ("response", "gen_ai.response.id"),
        ("error", "error.type"),
    ] {
        if let Some(text) = told.text(&[told_as]) {
            body.insert(name.to_owned(), Value::from(short(&text, 2048)));
        }
    }
    if let Some(value) = value {
        body.insert("value".to_owned(), Value::from(value));
    }
    Report {
        id,
        kind: if score.is_some() {
            ReportKind::Feedback
        } else {
            ReportKind::Custom
        },
        at,
        user: told
            .text(&["user.id", "enduser.id"])
            .map(|user| user.trim().to_owned()),
        agent: told
            .text(&["gen_ai.agent.name"])
            .map(|agent| agent.trim().to_owned()),
        key: None,
        ok: None,
        score,
        body: Value::Object(body).to_string(),
    }
}
