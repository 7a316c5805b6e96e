//! Usage by the values of a dimension.

use std::cmp::Reverse;
use std::collections::HashMap;

use cockpit_model::usage::{Dimension, Group, Point};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::merge;
use super::usage::{Rolled, each_row};
use super::window::Window;
use crate::error::Error;
use crate::ledger::key;
use crate::ledger::names::Texts;
use crate::ledger::rollup::{self, LARGEST, Value, damaged};
use crate::ledger::tally::{Parts, Tally};
use crate::ledger::tiers::{Segment, Source, length};

/// Groups that also have a series.
const WITH_SERIES: usize = 12;
/// Where there are no more groups than these, all of a bucket are stepped over sooner than some looked up.
const FEW: usize = 4 * WITH_SERIES;

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
    let read = Series {
        connection,
        dimension,
        values: &largest,
        all_read: ranked.len() <= FEW,
    };
    let mut series = read.points(window, &steps)?.into_iter();
    let mut groups: Vec<Group> = ranked
        .into_iter()
        .map(|(value, mut tally)| Group {
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
    if let Some(mut rest) = rest {
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

/// How the series of some values are read.
struct Series<'a> {
    connection: &'a Connection,
    dimension: Dimension,
    values: &'a [&'a Value],
    /// All values of a bucket are read, else these are looked up one by one.
    all_read: bool,
}

impl Series<'_> {
    /// Made step by step: the values of a bucket lie close together.
    fn points<S: Rolled>(
        &self,
        window: &Window,
        steps: &BySteps<'_, S>,
    ) -> Result<Vec<Vec<Point>>, Error> {
        let mut series: Vec<Vec<Point>> = self.values.iter().map(|_| Vec::new()).collect();
        let mut tallies: Vec<Tally<S>> = self.values.iter().map(|_| Tally::default()).collect();
        let pieces = window.stepwise();
        for (place, begin) in window.steps().enumerate() {
            if S::READS {
                for piece in within(&pieces, begin, begin + window.step * 1000) {
                    if self.all_read {
                        self.read(piece, &mut tallies)?;
                    } else {
                        self.look_up(piece, &mut tallies)?;
                    }
                }
            }
            for ((value, tally), points) in self.values.iter().zip(&mut tallies).zip(&mut series) {
                if let Some(more) = steps.get(value).and_then(|steps| steps.get(&place)) {
                    tally.merge(more);
                }
                points.push(Point {
                    at: key::time(begin, 0),
                    totals: tally.take_totals(),
                });
            }
        }
        Ok(series)
    }

    fn read<S: Rolled>(&self, piece: Segment, tallies: &mut [Tally<S>]) -> Result<(), Error> {
        each_row(
            self.connection,
            piece,
            Some(self.dimension),
            |_, value, body| self.add(value, body, tallies),
        )?
        .ok_or_else(|| damaged().into())
    }

    /// One question for each bucket: SQLite looks the values up in their order, and stays where it is between those
    /// that lie together.
    fn look_up<S: Rolled>(&self, piece: Segment, tallies: &mut [Tally<S>]) -> Result<(), Error> {
        let Source::Tier(tier) = piece.source else {
            return Ok(());
        };
        let of_tier = rollup::series(tier, Some(self.dimension));
        let length = length(tier) * 1000;
        let places = vec!["?"; self.values.len()].join(", ");
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT value, body FROM rollups WHERE series = ? AND at = ? AND value IN ({places})"
        ))?;
        for (value, parameter) in self.values.iter().zip(3..) {
            statement.raw_bind_parameter(parameter, value)?;
        }
        statement.raw_bind_parameter(1, of_tier)?;
        for at in piece.from / length..piece.to / length {
            statement.raw_bind_parameter(2, at)?;
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                let body = row.get_ref(1)?.as_blob().unwrap_or_default();
                self.add(row.get_ref(0)?, body, tallies)
                    .ok_or_else(damaged)?;
            }
        }
        Ok(())
    }

    /// Adds a rollup to its value's tally, if that is among those that are read; `None`: it is damaged.
    fn add<S: Rolled>(
        &self,
        value: ValueRef<'_>,
        body: &[u8],
        tallies: &mut [Tally<S>],
    ) -> Option<()> {
        let place = self.values.iter().position(|wanted| wanted.is(value));
        match place.and_then(|place| tallies.get_mut(place)) {
            Some(tally) => S::add_parts(tally, &Parts::read(body)?),
            None => Some(()),
        }
    }
}

/// The parts of pieces that lie in a step; no bucket of theirs reaches out of it.
fn within(pieces: &[Segment], begin: i64, end: i64) -> impl Iterator<Item = Segment> {
    pieces.iter().filter_map(move |piece| {
        let (from, to) = (piece.from.max(begin), piece.to.min(end));
        (from < to).then_some(Segment { from, to, ..*piece })
    })
}
