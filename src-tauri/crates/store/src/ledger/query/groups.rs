//! Usage by the values of a dimension.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use cockpit_model::usage::{Dimension, Group};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::usage::{Rolled, each_rollup, points};
use super::window::Window;
use crate::error::Error;
use crate::ledger::names::Texts;
use crate::ledger::rollup::{self, LARGEST, Value, damaged};
use crate::ledger::tally::{Parts, Tally};
use crate::ledger::tiers::{STEPS, Source};

/// Groups that also have a series.
const WITH_SERIES: usize = 12;

/// All groups: the costliest first, then the busiest; the rest last. `gathered` is what the single
/// calls came to by value and step.
pub(super) fn groups<S: Rolled>(
    connection: &Connection,
    texts: &mut Texts,
    window: &Window,
    dimension: Dimension,
    gathered: &HashMap<(Option<u32>, usize), Tally<S>>,
) -> Result<Vec<Group>, Error> {
    let mut tallies = HashMap::<Value, Tally<S>>::new();
    let mut steps = HashMap::<Value, Vec<(usize, &Tally<S>)>>::new();
    for ((id, place), tally) in gathered {
        let value = match id {
            Some(id) => Value::Text(texts.text(connection, *id)?),
            None => Value::None,
        };
        tallies.entry(value.clone()).or_default().merge(tally);
        steps.entry(value).or_default().push((*place, tally));
    }
    if S::READS {
        roll_up(connection, window, dimension, &mut tallies)?;
    }
    let rest = tallies.remove(&Value::Rest);
    let mut ranked: Vec<(Value, Tally<S>)> = tallies.into_iter().collect();
    ranked.sort_by(|(a_value, a), (b_value, b)| {
        let rank = |tally: &Tally<S>| Reverse((tally.sums.cost, tally.sums.calls));
        (rank(a), a_value).cmp(&(rank(b), b_value))
    });
    let beyond = ranked.split_off(ranked.len().min(LARGEST));
    let rest = beyond.iter().fold(rest, |rest, (_, tally)| {
        let mut rest = rest.unwrap_or_default();
        rest.merge(tally);
        Some(rest)
    });

    let mut groups = Vec::with_capacity(ranked.len() + 1);
    for (place, (value, tally)) in ranked.into_iter().enumerate() {
        let mut series = Vec::new();
        if place < WITH_SERIES {
            let mut tallies: Vec<Tally<S>> = window.steps().map(|_| Tally::default()).collect();
            for (step, tally) in steps.get(&value).into_iter().flatten() {
                if let Some(point) = tallies.get_mut(*step) {
                    point.merge(tally);
                }
            }
            if S::READS {
                roll_up_series(connection, window, dimension, &value, &mut tallies)?;
            }
            series = points(window, tallies);
        }
        groups.push(Group {
            key: match value {
                Value::Text(text) => Some(text.to_string()),
                Value::None | Value::Rest => None,
            },
            rest: false,
            totals: tally.totals(),
            series,
        });
    }
    if let Some(rest) = rest {
        groups.push(Group {
            key: None,
            rest: true,
            totals: rest.totals(),
            series: Vec::new(),
        });
    }
    Ok(groups)
}

fn roll_up<S: Rolled>(
    connection: &Connection,
    window: &Window,
    dimension: Dimension,
    tallies: &mut HashMap<Value, Tally<S>>,
) -> Result<(), Error> {
    // By the bytes of the text, so that a name that is known already costs no allocation.
    let mut by_text = HashMap::<Vec<u8>, Tally<S>>::new();
    for piece in window.whole() {
        each_rollup(connection, piece, Some(dimension), |_, value, parts| {
            let tally = match value {
                ValueRef::Text(text) => match by_text.get_mut(text) {
                    Some(tally) => tally,
                    None => by_text.entry(text.to_vec()).or_default(),
                },
                other => tallies.entry(Value::read(other)).or_default(),
            };
            S::add_parts(tally, parts)
        })?;
    }
    for (text, tally) in by_text {
        let text: Arc<str> = String::from_utf8_lossy(&text).into();
        tallies.entry(Value::Text(text)).or_default().merge(&tally);
    }
    Ok(())
}

/// Adds the rollups of one value to its series. A look-up for each bucket: a bucket's values lie side by
/// side, there may be a thousand, and only a few of them have a series.
fn roll_up_series<S: Rolled>(
    connection: &Connection,
    window: &Window,
    dimension: Dimension,
    value: &Value,
    series: &mut [Tally<S>],
) -> Result<(), Error> {
    let mut statement = connection
        .prepare_cached("SELECT body FROM rollups WHERE series = ?1 AND at = ?2 AND value = ?3")?;
    for piece in window.stepwise() {
        let Source::Tier(tier) = piece.source else {
            continue;
        };
        let Some(length) = STEPS.get(tier).map(|step| step * 1000) else {
            continue;
        };
        let of_tier = rollup::series(tier, Some(dimension));
        for at in piece.from / length..piece.to / length {
            let Some(point) = window
                .place(at * length)
                .and_then(|step| series.get_mut(step))
            else {
                continue;
            };
            statement
                .query_row(params![of_tier, at, value], |row| {
                    let body = row.get_ref(0)?.as_blob().unwrap_or_default();
                    let parts = Parts::read(body).ok_or_else(damaged)?;
                    S::add_parts(point, &parts).ok_or_else(damaged)
                })
                .optional()?;
        }
    }
    Ok(())
}
