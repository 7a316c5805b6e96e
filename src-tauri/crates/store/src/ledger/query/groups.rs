//! Usage by the values of a dimension.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use cockpit_model::usage::{Dimension, Group, Point};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::merge::{self, ByValue};
use super::usage::{Rolled, each_row};
use super::window::Window;
use crate::error::Error;
use crate::ledger::key;
use crate::ledger::names::Texts;
use crate::ledger::rollup::{self, LARGEST, Value, damaged};
use crate::ledger::table::Table;
use crate::ledger::tally::{Parts, Tally};
use crate::ledger::tiers::{HOUR, Segment, Source, length};

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
    let mut tallies = ByValue::<S>::new();
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
    let mut ranked: Vec<(Value, Box<Tally<S>>)> = tallies.into_iter().collect();
    ranked.sort_by(|(a_value, a), (b_value, b)| {
        let rank = |tally: &Tally<S>| Reverse((tally.sums.cost, tally.sums.calls));
        (rank(a), a_value).cmp(&(rank(b), b_value))
    });
    let beyond = ranked.split_off(ranked.len().min(LARGEST));
    let rest = beyond.iter().fold(rest, |rest, (_, tally)| {
        let mut rest: Box<Tally<S>> = rest.unwrap_or_default();
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
    /// Made hour by hour, or step by step where those are longer: the values of so much time lie close together.
    fn points<S: Rolled>(
        &self,
        window: &Window,
        steps: &BySteps<'_, S>,
    ) -> Result<Vec<Vec<Point>>, Error> {
        let mut series: Vec<Vec<Point>> = self.values.iter().map(|_| Vec::new()).collect();
        let pieces = window.known_stepwise();
        let places: Vec<(usize, i64)> = window.steps().enumerate().collect();
        let hour = |(_, begin): &(usize, i64)| begin.div_euclid(HOUR * 1000);
        let mut found = Found::default();
        let mut tally = Tally::<S>::default();
        for hour in places.chunk_by(|a, b| hour(a) == hour(b)) {
            found.clear();
            if S::READS
                && let [(_, begin), ..] = hour
                && let [.., (_, last)] = hour
            {
                for piece in within(&pieces, *begin, last + window.step * 1000) {
                    if self.all_read {
                        self.read(piece, window, &mut found)?;
                    } else {
                        self.look_up(piece, window, &mut found)?;
                    }
                }
            }
            let mut found = found.sorted();
            for ((number, value), points) in self.values.iter().enumerate().zip(&mut series) {
                let single = steps.get(value);
                for (place, begin) in hour {
                    while let Some(body) = found.next_of(number, *place) {
                        let parts = Parts::read(body).ok_or_else(damaged)?;
                        S::add_parts(&mut tally, &parts).ok_or_else(damaged)?;
                    }
                    if let Some(more) = single.and_then(|steps| steps.get(place)) {
                        tally.merge(more);
                    }
                    points.push(Point {
                        at: key::time(*begin, 0),
                        totals: tally.take_totals(),
                    });
                }
            }
        }
        Ok(series)
    }

    fn read(&self, piece: Segment, window: &Window, found: &mut Found) -> Result<(), Error> {
        each_row(
            self.connection,
            piece,
            Some(self.dimension),
            |at, value, body| {
                self.find(window.place(at), value, body, found);
                Some(())
            },
        )
        .map(drop)
    }

    /// One question for all buckets that lie together: SQLite looks the values up in their order, and stays where it
    /// is between those that are neighbours.
    fn look_up(&self, piece: Segment, window: &Window, found: &mut Found) -> Result<(), Error> {
        let Source::Tier(tier) = piece.source else {
            return Ok(());
        };
        let of_tier = rollup::series(tier, Some(self.dimension));
        let table = Table::of(of_tier);
        let length = length(tier) * 1000;
        let places = vec!["?"; self.values.len()].join(", ");
        let mut statement = self
            .connection
            .prepare_cached(&format!("{}({places})", table.among))?;
        for (value, parameter) in self.values.iter().zip(3..) {
            statement.raw_bind_parameter(parameter, value)?;
        }
        statement.raw_bind_parameter(1, of_tier)?;
        let mut together = table.first(piece.from / length);
        while together * length < piece.to {
            statement.raw_bind_parameter(2, together)?;
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                let at = row.get::<_, i64>(0)? * length;
                if (piece.from..piece.to).contains(&at) {
                    let body = row.get_ref(2)?.as_blob().unwrap_or_default();
                    self.find(window.place(at), row.get_ref(1)?, body, found);
                }
            }
            together += table.together;
        }
        Ok(())
    }

    /// Takes a rollup along, if its value is among those that are read.
    fn find(&self, place: Option<usize>, value: ValueRef<'_>, body: &[u8], found: &mut Found) {
        let number = self.values.iter().position(|wanted| wanted.is(value));
        if let (Some(number), Some(place)) = (number, place) {
            found.push(number, place, body);
        }
    }
}

/// Rollups as they are in the table, by the value's number and the step.
#[derive(Default)]
struct Found {
    bytes: Vec<u8>,
    entries: Vec<(usize, usize, Range<usize>)>,
}

impl Found {
    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    fn push(&mut self, number: usize, place: usize, body: &[u8]) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(body);
        self.entries.push((number, place, begin..self.bytes.len()));
    }

    fn sorted(&mut self) -> Sorted<'_> {
        self.entries
            .sort_unstable_by_key(|(number, place, bytes)| (*number, *place, bytes.start));
        Sorted {
            bytes: &self.bytes,
            rest: &self.entries,
        }
    }
}

/// The same from the first value's first step on.
struct Sorted<'a> {
    bytes: &'a [u8],
    rest: &'a [(usize, usize, Range<usize>)],
}

impl<'a> Sorted<'a> {
    /// The next one, if it is of this value and step.
    fn next_of(&mut self, number: usize, place: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.rest.split_first()?;
        if (first.0, first.1) != (number, place) {
            return None;
        }
        self.rest = rest;
        self.bytes.get(first.2.clone())
    }
}

/// The parts of pieces that lie in some steps; no bucket of theirs reaches out of them.
fn within(pieces: &[Segment], begin: i64, end: i64) -> impl Iterator<Item = Segment> {
    pieces.iter().filter_map(move |piece| {
        let (from, to) = (piece.from.max(begin), piece.to.min(end));
        (from < to).then_some(Segment { from, to, ..*piece })
    })
}
