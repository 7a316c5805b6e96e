//! The rollups of many values, merged by value. A month of a thousand users is thirty thousand rollups and more: one
//! thread reads them, and others, where there are cores for them, add them up meanwhile.
//!
//! Fewer are read where a window lacks little of a bucket: that is added, and taken off again what was not asked for
//! ([`balance`](crate::ledger::balance::balance)). All sums and sketches are whole numbers: what comes out is the same.
//! Not so where a bucket has summed up its smallest values as one, for who is in that is not known; then only what was
//! asked for is added.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, ScopedJoinHandle};

use cockpit_model::usage::Dimension;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::usage::{Rolled, each_rollup, each_row};
use super::window::Window;
use crate::error::Error;
use crate::ledger::balance::Part;
use crate::ledger::rollup::{Value, damaged};
use crate::ledger::tally::{Parts, Tally};

/// Rollups handed over at once; fewer than these are not worth a thread.
const BATCH: usize = 1024;
/// Batches that may wait for a thread.
const WAITING: usize = 4;
/// More threads than these wait for the reader.
const MOST: usize = 3;

/// Rollups as they are in the table, one after the other.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    rows: Vec<Entry>,
}

struct Entry {
    /// `None`: it is among the bytes, before the body.
    value: Option<Value>,
    value_length: usize,
    body_length: usize,
    /// Whether it is taken off.
    taken: bool,
}

impl Batch {
    /// An empty one with room for as much as this has, in its place.
    fn take(&mut self) -> Self {
        let empty = Self {
            bytes: Vec::with_capacity(self.bytes.len() + self.bytes.len() / 4),
            rows: Vec::with_capacity(self.rows.len()),
        };
        std::mem::replace(self, empty)
    }

    fn push(&mut self, value: ValueRef<'_>, body: &[u8], taken: bool) {
        let (value, text) = match value {
            ValueRef::Text(text) => (None, text),
            other => (Some(Value::read(other)), &[][..]),
        };
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(body);
        self.rows.push(Entry {
            value,
            value_length: text.len(),
            body_length: body.len(),
            taken,
        });
    }
}

/// Sums by value. Apart, for they are large, and what they lie in is moved around.
pub(super) type ByValue<S> = HashMap<Value, Box<Tally<S>>>;

/// The same of texts and others.
struct Merged<S> {
    /// By the bytes of the text, so that a name that is known already costs no allocation.
    texts: HashMap<Vec<u8>, Box<Tally<S>>>,
    others: ByValue<S>,
}

impl<S: Rolled> Merged<S> {
    fn new() -> Self {
        Self {
            texts: HashMap::new(),
            others: HashMap::new(),
        }
    }

    /// `None`: a rollup is damaged, or does not have what is to be taken off.
    fn add(&mut self, batch: &Batch) -> Option<()> {
        let mut bytes = &batch.bytes[..];
        for entry in &batch.rows {
            let (text, rest) = bytes.split_at_checked(entry.value_length)?;
            let (body, rest) = rest.split_at_checked(entry.body_length)?;
            bytes = rest;
            let tally = match &entry.value {
                Some(value) => self.others.entry(value.clone()).or_default(),
                None => match self.texts.get_mut(text) {
                    Some(tally) => tally,
                    None => self.texts.entry(text.to_vec()).or_default(),
                },
            };
            let parts = Parts::read(body)?;
            if entry.taken {
                S::take_parts(tally, &parts)?;
            } else {
                S::add_parts(tally, &parts)?;
            }
        }
        Some(())
    }

    fn all(batches: Receiver<Batch>) -> Option<Self> {
        let mut merged = Self::new();
        for batch in batches {
            merged.add(&batch)?;
        }
        Some(merged)
    }

    fn tell(self, tallies: &mut ByValue<S>) {
        let texts = self.texts.into_iter().map(|(text, tally)| {
            let text: Arc<str> = String::from_utf8_lossy(&text).into();
            (Value::Text(text), tally)
        });
        for (value, tally) in texts.chain(self.others) {
            // All of it was taken off again.
            if tally.sums.calls == 0 {
                continue;
            }
            match tallies.entry(value) {
                std::collections::hash_map::Entry::Occupied(mut known) => {
                    // Of single calls there are few: it costs less to add them to what rollups came to.
                    let calls = std::mem::replace(known.get_mut(), tally);
                    known.get_mut().merge(&calls);
                }
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(tally);
                }
            }
        }
    }
}

/// A thread that adds up, and the way to it.
struct Hand<'scope, S> {
    batches: SyncSender<Batch>,
    thread: ScopedJoinHandle<'scope, Option<Merged<S>>>,
}

/// Adds a window's rollups of a dimension to the tallies of its values.
pub(super) fn by_value<S: Rolled>(
    connection: &Connection,
    window: &Window,
    dimension: Dimension,
    tallies: &mut ByValue<S>,
) -> Result<(), Error> {
    // Whose those were is not known.
    let mut rest = Tally::default();
    for piece in window.unknown() {
        each_rollup(connection, piece, None, |_, _, parts| {
            S::add_parts(&mut rest, parts)
        })?;
    }
    if rest.sums.calls > 0 {
        tallies.insert(Value::Rest, Box::new(rest));
    }
    let parts = window.balance();
    let mut merged = None;
    if parts.iter().any(|part| part.taken) {
        merged = merge(connection, dimension, parts)?;
    }
    if merged.is_none() {
        let plain = window.known().into_iter().map(Part::plain);
        merged = merge(connection, dimension, plain)?;
    }
    for merged in merged.ok_or_else(damaged)? {
        merged.tell(tallies);
    }
    Ok(())
}

/// `None`: a rollup is damaged, or what is to be taken off is not known of each value.
fn merge<S: Rolled>(
    connection: &Connection,
    dimension: Dimension,
    parts: impl IntoIterator<Item = Part>,
) -> Result<Option<Vec<Merged<S>>>, Error> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    // Adding up takes longer than reading: where there are two cores the reader's helps.
    let hands = cores.min(MOST);
    thread::scope(|scope| {
        let mut batches: Vec<Batch> = (0..hands).map(|_| Batch::default()).collect();
        let mut crew = Vec::<Hand<'_, S>>::new();
        for part in parts {
            let read = each_row(connection, part.piece, Some(dimension), |_, value, body| {
                if part.strict && Value::Rest.is(value) {
                    return None;
                }
                let place = place_of(value) % hands;
                let batch = batches.get_mut(place)?;
                batch.push(value, body, part.taken);
                if batch.rows.len() < BATCH {
                    return Some(());
                }
                if crew.is_empty() {
                    crew.extend((0..hands).map(|_| {
                        let (batches, receiver) = sync_channel(WAITING);
                        let thread = scope.spawn(move || Merged::all(receiver));
                        Hand { batches, thread }
                    }));
                }
                // One that has ended cannot go on.
                crew.get(place)?.batches.send(batch.take()).ok()
            })?;
            if read.is_none() {
                return Ok(None);
            }
        }
        if crew.is_empty() {
            let mut merged = Merged::new();
            let whole: Option<()> = batches.iter().try_for_each(|batch| merged.add(batch));
            return Ok(whole.map(|()| vec![merged]));
        }
        let ends: Vec<_> = crew
            .into_iter()
            .zip(batches)
            .map(|(hand, rest)| {
                // As above: what it says tells.
                drop(hand.batches.send(rest));
                hand.thread
            })
            .collect();
        let merged: Result<Vec<Option<Merged<S>>>, _> =
            ends.into_iter().map(ScopedJoinHandle::join).collect();
        Ok(merged.map_err(|_| Error::Ended)?.into_iter().collect())
    })
}

/// The same for the same value.
fn place_of(value: ValueRef<'_>) -> usize {
    let ValueRef::Text(text) = value else {
        return 0;
    };
    text.iter().fold(0, |sum: usize, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    })
}
