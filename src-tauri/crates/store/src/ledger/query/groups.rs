//! Usage by the values of a dimension.

use std::cmp::Reverse;
use std::collections::HashMap;

use cockpit_model::usage::{Dimension, Group, Point};
use rusqlite::{Connection, OptionalExtension, params};

use super::merge;
use super::usage::Rolled;
use super::window::Window;
use crate::error::Error;
use crate::ledger::key;
use crate::ledger::names::Texts;
use crate::ledger::rollup::{self, LARGEST, Value, damaged};
use crate::ledger::tally::{Parts, Tally};
use crate::ledger::tiers::{Segment, Source, length};

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
    let mut steps = BySteps::<S>::new();
    for ((id, place), tally) in gathered {
        let value = match id {
            Some(id) => Value::Text(texts.text(connection, *id)?),
            None => Value::None,
        };
        tallies.entry(value.clone()).or_default().merge(tally);
        steps.entry(value).or_default().insert(*place, tally);
    }
    if S::READS {
        merge::by_value(connection, window, dimension, &mut tallies)?;
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

    let largest: Vec<&Value> = ranked
        .iter()
        .take(WITH_SERIES)
        .map(|(value, _)| value)
        .collect();
    let series = series(connection, window, dimension, &largest, &steps)?;
    let mut series = series.into_iter();
    let mut groups: Vec<Group> = ranked
        .into_iter()
        .map(|(value, tally)| Group {
            key: match value {
                // Whoever was refused before somebody could be asked has no provider and no target.
                Value::Text(text) => (!text.is_empty()).then(|| text.to_string()),
                Value::None | Value::Rest => None,
            },
            rest: false,
            totals: tally.totals(),
            series: series.next().unwrap_or_default(),
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

/// What single calls came to in each step, by value.
type BySteps<'a, S> = HashMap<Value, HashMap<usize, &'a Tally<S>>>;

/// The series of some values, made step by step: the values of a bucket lie close together. They are
/// looked up one by one, since there may be a thousand others.
fn series<S: Rolled>(
    connection: &Connection,
    window: &Window,
    dimension: Dimension,
    values: &[&Value],
    steps: &BySteps<'_, S>,
) -> Result<Vec<Vec<Point>>, Error> {
    let mut series: Vec<Vec<Point>> = values.iter().map(|_| Vec::new()).collect();
    let mut statement = connection
        .prepare_cached("SELECT body FROM rollups WHERE series = ?1 AND at = ?2 AND value = ?3")?;
    let pieces = window.stepwise();
    for (place, begin) in window.steps().enumerate() {
        let mut tallies: Vec<Tally<S>> = values.iter().map(|_| Tally::default()).collect();
        for (of_tier, at) in buckets(&pieces, begin, begin + window.step * 1000, dimension) {
            if !S::READS {
                break;
            }
            for (value, tally) in values.iter().zip(&mut tallies) {
                statement
                    .query_row(params![of_tier, at, value], |row| {
                        let body = row.get_ref(0)?.as_blob().unwrap_or_default();
                        let parts = Parts::read(body).ok_or_else(damaged)?;
                        S::add_parts(tally, &parts).ok_or_else(damaged)
                    })
                    .optional()?;
            }
        }
        for ((value, mut tally), points) in values.iter().zip(tallies).zip(&mut series) {
            if let Some(more) = steps.get(value).and_then(|steps| steps.get(&place)) {
                tally.merge(more);
            }
            points.push(Point {
                at: key::time(begin, 0),
                totals: tally.totals(),
            });
        }
    }
    Ok(series)
}

/// The buckets of a step: their series, and their place in it.
fn buckets(
    pieces: &[Segment],
    begin: i64,
    end: i64,
    dimension: Dimension,
) -> impl Iterator<Item = (i64, i64)> {
    pieces.iter().flat_map(move |piece| {
        let (series, range) = match piece.source {
            Source::Rows => (0, 0..0),
            Source::Tier(tier) => {
                let length = length(tier) * 1000;
                let (from, to) = (piece.from.max(begin), piece.to.min(end));
                (
                    rollup::series(tier, Some(dimension)),
                    from / length..to / length,
                )
            }
        };
        range.map(move |at| (series, at))
    })
}
