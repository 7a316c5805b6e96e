//! `POST /api/events`: what is told in JSON, one object, an array, or an object a line.
//!
//! Each event stands by itself: what cannot be read or accounted for is refused with a reason, the others are kept.
//! What is meant is taken (numbers written as texts, times in seconds or milliseconds, stars for a score); what is
//! kept is exact.

mod call;
mod item;
mod report;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeSet;

use cockpit_model::report::{Ingested, Rejected};
use cockpit_model::{Record, ReportKind};
use serde_json::value::RawValue;

use self::item::Item;
use self::value::{Told, moment, name, wrong};
use super::{Kept, Setting};

/// The most events at once.
pub const MOST: usize = 10_000;
/// The most bytes at once, unpacked.
pub const MOST_BYTES: usize = 8 << 20;

/// What was told at once.
#[derive(Debug, Default, PartialEq)]
pub struct Batch {
    /// What can be kept, each with its place in what was told.
    pub records: Vec<(usize, Record)>,
    /// The places of those that have an id and do not say when they happened: told again, they have another time.
    pub undated: BTreeSet<usize>,
    /// What cannot be.
    pub rejected: Vec<Rejected>,
}

/// Nothing of it can be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON.
    #[error("the body is neither a JSON object, nor an array of such, nor one on each line: {0}")]
    NotJson(String),
    /// It is more than is taken at once.
    #[error("{0} events at once; at most {MOST} are taken")]
    TooMany(usize),
}

/// Reads a body. `seed` makes ids for events without one: no two bodies have the same.
///
/// # Errors
/// When nothing of it can be read, or there is too much.
pub fn read(body: &[u8], setting: &Setting, seed: u128) -> Result<Batch, Unreadable> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Unreadable::NotJson(format!("it is not UTF-8 ({error})")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    let mut batch = Batch::default();
    let mut take = |index: usize, json: Result<&str, String>| {
        let read = json.and_then(|json| one(json, setting, || format!("{seed:032x}-{index}")));
        match read {
            Ok((record, undated)) => {
                batch.records.push((index, record));
                if undated {
                    batch.undated.insert(index);
                }
            }
            Err(reason) => batch.rejected.push(Rejected { index, reason }),
        }
    };
    if text.starts_with('[') {
        let items: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| Unreadable::NotJson(error.to_string()))?;
        within(items.len())?;
        for (index, item) in items.into_iter().enumerate() {
            take(index, Ok(item.get()));
        }
        return Ok(batch);
    }
    // One object may stretch over many lines; several stand on a line each.
    let whole = serde_json::from_str::<&RawValue>(text);
    let error = match whole {
        Ok(item) => {
            take(0, Ok(item.get()));
            return if batch.records.is_empty() && !text.starts_with('{') {
                Err(Unreadable::NotJson("it is a single value".to_owned()))
            } else {
                Ok(batch)
            };
        }
        Err(error) => error,
    };
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let readable = |line: &str| {
        serde_json::from_str::<&RawValue>(line).is_ok_and(|item| item.get().starts_with('{'))
    };
    if !lines().any(readable) {
        return Err(Unreadable::NotJson(error.to_string()));
    }
    within(lines().count())?;
    for (index, line) in lines().enumerate() {
        let json = serde_json::from_str::<&RawValue>(line);
        take(
            index,
            json.map(RawValue::get).map_err(|error| {
                format!("this line is no JSON ({error}): write one object on each line")
            }),
        );
    }
    Ok(batch)
}

fn within(count: usize) -> Result<(), Unreadable> {
    if count > MOST {
        return Err(Unreadable::TooMany(count));
    }
    Ok(())
}

/// The kinds of events, as they are told to whoever wrote another.
const KINDS: &str = "\"call\", \"task\", \"feedback\", \"activity\", \"auth\", \"pii\", \"policy\", \"deploy\" or \"custom\"";

/// A record, and whether it has an id of its reporter's and no time.
fn one(
    json: &str,
    setting: &Setting,
    fresh: impl FnOnce() -> String,
) -> Result<(Record, bool), String> {
    if !json.starts_with('{') {
        return Err("this is no object: write {\"type\": \"call\", …}".to_owned());
    }
    let mut item: Item<'_> = serde_json::from_str(json).map_err(|error| {
        format!("this cannot be read ({error}): write its texts as valid JSON strings")
    })?;
    let kind = item.kind.take().unwrap_or(Told::Null);
    let word = match &kind {
        Told::Text(word) => word.trim(),
        Told::Null => return Err(format!("type is missing: write {KINDS}")),
        _ => "",
    };
    let report = ReportKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == word);
    if report.is_none() && word != "call" {
        return Err(wrong("type", &kind, KINDS));
    }
    let id = name("id", item.id.take())?;
    let at = moment("at", item.at.take())?;
    let undated = id.is_some() && at.is_none();
    let id = id.unwrap_or_else(fresh);
    let at = at.unwrap_or(setting.now);
    let record = match report {
        None => call::read(item, id, at, setting).map(Record::Call),
        Some(kind) => report::read(item, json, kind, id, at).map(Record::Report),
    }?;
    Ok((record, undated))
}

/// What is answered. `places` says where each of the kept stood in what was told.
pub fn answer(places: &[usize], kept: Vec<Kept>, mut rejected: Vec<Rejected>) -> Ingested {
    let mut accepted = 0;
    let mut duplicates = 0;
    for (kept, index) in kept.into_iter().zip(places) {
        match kept {
            Kept::New => accepted += 1,
            Kept::Twice => duplicates += 1,
            Kept::Refused(reason) => rejected.push(Rejected {
                index: *index,
                reason,
            }),
        }
    }
    rejected.sort_by_key(|rejected| rejected.index);
    Ingested {
        accepted,
        duplicates,
        rejected,
    }
}
