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
use crate::ledger::tiers::{STEPS, Segment, Source};

/// Groups that also have a series.
const WITH_SERIES: usize = 12;
/// With at most this many values, reading all of a bucket's is quicker than looking up the largest.
const FEW: usize = 48;

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

    let largest: Vec<Value> = ranked
        .iter()
        .take(WITH_SERIES)
        .map(|(value, _)| value.clone())
        .collect();
    let mut series: Vec<Vec<Tally<S>>> = largest
        .iter()
        .map(|value| {
            let mut points: Vec<Tally<S>> = window.steps().map(|_| Tally::default()).collect();
            for (place, tally) in steps.get(value).into_iter().flatten() {
                if let Some(point) = points.get_mut(*place) {
                    point.merge(tally);
                }
            }
            points
        })
        .collect();
    if S::READS {
        let few = ranked.len() <= FEW;
        roll_up_series(connection, window, dimension, &largest, few, &mut series)?;
    }
    let mut series = series.into_iter();
    let mut groups: Vec<Group> = ranked
        .into_iter()
        .map(|(value, tally)| Group {
            key: match value {
                Value::Text(text) => Some(text.to_string()),
                Value::None | Value::Rest => None,
            },
            rest: false,
            totals: tally.totals(),
            series: series
                .next()
                .map(|tallies| points(window, tallies))
                .unwrap_or_default(),
        })
        .collect();
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

/// Adds the rollups to the series of the largest.
fn roll_up_series<S: Rolled>(
    connection: &Connection,
    window: &Window,
    dimension: Dimension,
    largest: &[Value],
    few: bool,
    series: &mut [Vec<Tally<S>>],
) -> Result<(), Error> {
    let mut add = |place: usize, at: i64, parts: &Parts<'_>| {
        let point = window
            .place(at)
            .and_then(|step| series.get_mut(place)?.get_mut(step));
        point.map_or(Some(()), |point| S::add_parts(point, parts))
    };
    for piece in window.stepwise() {
        if few {
            each_rollup(connection, piece, Some(dimension), |at, value, parts| {
                let place = largest.iter().position(|one| match (one, value) {
                    (Value::Text(one), ValueRef::Text(text)) => one.as_bytes() == text,
                    (Value::None, ValueRef::Integer(0)) => true,
                    _ => false,
                });
                place.map_or(Some(()), |place| add(place, at, parts))
            })?;
        } else {
            look_up(connection, piece, dimension, largest, &mut add)?;
        }
    }
    Ok(())
}

fn look_up(
    connection: &Connection,
    piece: Segment,
    dimension: Dimension,
    values: &[Value],
    mut each: impl FnMut(usize, i64, &Parts<'_>) -> Option<()>,
) -> Result<(), Error> {
    let Source::Tier(tier) = piece.source else {
        return Ok(());
    };
    let Some(length) = STEPS.get(tier).map(|step| step * 1000) else {
        return Ok(());
    };
    let series = rollup::series(tier, Some(dimension));
    let mut statement = connection
        .prepare_cached("SELECT body FROM rollups WHERE series = ?1 AND at = ?2 AND value = ?3")?;
    for at in piece.from / length..piece.to / length {
        for (place, value) in values.iter().enumerate() {
            statement
                .query_row(params![series, at, value], |row| {
                    let body = row.get_ref(0)?.as_blob().unwrap_or_default();
                    let parts = Parts::read(body).ok_or_else(damaged)?;
                    each(place, at * length, &parts).ok_or_else(damaged)
                })
                .optional()?;
        }
    }
    Ok(())
}
