//! The sum of many sketches.

use super::{BINS, Corrupt, DENSE, SPARSE, Sketch, bin_at, bin_of, centre, take_varint};
use crate::percentile::rank;

/// Room is made for so many bins at first: of values up to a hundred and sixty times as large as each other …
const FIRST_ROOM: u16 = 256;
/// … and then for so many more.
const ROOM: u16 = 64;

/// The same as a [`Sketch`], laid out for adding up many: a count for each bin between the first and the last. Several
/// times as quick to merge into, several times as large when there are few values.
#[derive(Debug, Clone, Default)]
pub struct Dense {
    zeros: u64,
    count: u64,
    /// The bin of the first count.
    first: u16,
    counts: Vec<u64>,
}

impl Dense {
    /// Counts one value, as [`Sketch::add`].
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.count = self.count.saturating_add(1);
        match bin_of(value) {
            None => self.zeros = self.zeros.saturating_add(1),
            Some(bin) => self.put(bin, 1),
        }
    }

    /// Counts what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.count = self.count.saturating_add(other.count);
        let is_some = |count: &u64| *count > 0;
        let (Some(first), Some(last)) = (
            other.counts.iter().position(is_some),
            other.counts.iter().rposition(is_some),
        ) else {
            return;
        };
        self.make_room(other.first + first as u16, other.first + last as u16);
        let place = usize::from(other.first + first as u16 - self.first);
        let ours = self.counts.get_mut(place..).unwrap_or_default();
        let theirs = other.counts.get(first..=last).unwrap_or_default();
        let pairs = ours.iter_mut().zip(theirs);
        if self.count < u64::MAX {
            // No count is larger than all of them. This way several are added at once.
            pairs.for_each(|(count, more)| *count = count.wrapping_add(*more));
        } else {
            pairs.for_each(|(count, more)| *count = count.saturating_add(*more));
        }
    }

    /// Counts what an encoded [`Sketch`] counted. After an error it is of no use any more.
    pub fn merge_encoded(&mut self, mut bytes: &[u8]) -> Result<(), Corrupt> {
        let bytes = &mut bytes;
        let zeros = take_varint(bytes)?;
        self.zeros = self.zeros.saturating_add(zeros);
        self.count = self.count.saturating_add(zeros);
        let (layout, rest) = bytes.split_first().ok_or(Corrupt)?;
        *bytes = rest;
        match *layout {
            SPARSE => {
                let mut next = 0;
                while !bytes.is_empty() {
                    let token = take(bytes)?;
                    let bin = bin_at(next, token >> 1)?;
                    let count = if token & 1 == 1 { 1 } else { take(bytes)? };
                    self.count = self.count.saturating_add(count);
                    self.put(bin, count);
                    next = bin + 1;
                }
            }
            DENSE => {
                let first = bin_at(0, take(bytes)?)?;
                // A count takes a byte at least.
                let most = bytes.len().min(usize::from(BINS - first));
                let Some(last) = most.checked_sub(1) else {
                    return Ok(());
                };
                self.make_room(first, first + last as u16);
                let place = usize::from(first - self.first);
                let counts = self.counts.get_mut(place..).unwrap_or_default();
                let sum = add_all(counts, bytes, self.count)?;
                self.count = self.count.saturating_add(sum);
            }
            _ => return Err(Corrupt),
        }
        Ok(())
    }

    /// Takes off what an encoded [`Sketch`] counted, all of which must have been counted here. After an error it is of
    /// no use any more.
    pub fn take_encoded(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        let other = Sketch::decode(bytes)?;
        self.zeros = self.zeros.checked_sub(other.zeros).ok_or(Corrupt)?;
        self.count = self.count.checked_sub(other.count).ok_or(Corrupt)?;
        for (bin, fewer) in other.bins {
            let place = usize::from(bin.wrapping_sub(self.first));
            let count = self.counts.get_mut(place).ok_or(Corrupt)?;
            *count = count.checked_sub(fewer).ok_or(Corrupt)?;
        }
        Ok(())
    }

    fn put(&mut self, bin: u16, more: u64) {
        let place = usize::from(bin.wrapping_sub(self.first));
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(more);
        } else {
            self.make_room(bin, bin);
            let place = usize::from(bin - self.first);
            if let Some(count) = self.counts.get_mut(place) {
                *count = more;
            }
        }
    }

    /// Makes room for bins, if there is none.
    fn make_room(&mut self, first: u16, last: u16) {
        if self.counts.is_empty() {
            // Values lie around each other: of one only the others may lie far, of many hardly any.
            let around = FIRST_ROOM.saturating_sub(last - first).max(ROOM) / 2;
            self.first = first.saturating_sub(around);
            let end = last.saturating_add(around).min(BINS - 1);
            self.counts = vec![0; usize::from(end - self.first) + 1];
            return;
        }
        if first < self.first {
            let more = (self.first - first).max(ROOM).min(self.first);
            self.counts
                .splice(..0, std::iter::repeat_n(0, usize::from(more)));
            self.first -= more;
        }
        if usize::from(last - self.first) >= self.counts.len() {
            let end = last.saturating_add(ROOM).min(BINS - 1);
            self.counts.resize(usize::from(end - self.first) + 1, 0);
        }
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets what it counted, and keeps the room that it took.
    pub fn clear(&mut self) {
        if self.count > 0 {
            self.counts.fill(0);
        }
        self.zeros = 0;
        self.count = 0;
    }

    /// As [`Sketch::quantile`], of several in ascending order.
    pub fn quantiles<const N: usize>(&self, ascending: [f64; N]) -> [Option<f64>; N] {
        // Most bins are passed over: eight at once, while they end below what is looked for.
        let mut eights = self.counts.chunks(8);
        let (mut eight, mut in_eight): (&[u64], u64) = (&[], 0);
        let (mut below, mut bin) = (self.zeros, self.first);
        ascending.map(|q| {
            let rank = rank(self.count, q)?;
            if rank <= self.zeros {
                return Some(0.0);
            }
            while below.saturating_add(in_eight) < rank {
                below = below.saturating_add(in_eight);
                bin += eight.len() as u16;
                eight = eights.next()?;
                in_eight = self.sum(eight);
            }
            let mut upto = below;
            let place = eight.iter().position(|count| {
                upto = upto.saturating_add(*count);
                upto >= rank
            })?;
            Some(centre(bin + place as u16))
        })
    }

    /// What some of the counts come to.
    fn sum(&self, counts: &[u64]) -> u64 {
        if self.count < u64::MAX {
            // No more than all of them. This way several are added at once.
            counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
        } else {
            counts
                .iter()
                .fold(0, |sum, count| sum.saturating_add(*count))
        }
    }
}

impl From<&Dense> for Sketch {
    fn from(dense: &Dense) -> Self {
        Self {
            zeros: dense.zeros,
            count: dense.count,
            bins: (dense.first..)
                .zip(dense.counts.iter().copied())
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }
}

/// Adds encoded numbers to the counts, one to each from the first on, and tells their sum. `before`: no count is larger.
fn add_all(mut counts: &mut [u64], mut bytes: &[u8], before: u64) -> Result<u64, Corrupt> {
    let mut sum = 0_u64;
    // Most numbers take one byte. Eight of those at once, where no count can overflow, take as long as one alone.
    let mut small = before < u64::MAX / 2;
    while !bytes.is_empty() {
        if small
            && let Some((eight, rest)) = bytes.split_first_chunk::<8>()
            && u64::from_le_bytes(*eight) & 0x8080_8080_8080_8080 == 0
        {
            let (ours, others) = counts.split_first_chunk_mut::<8>().ok_or(Corrupt)?;
            for (count, more) in ours.iter_mut().zip(eight) {
                *count = count.wrapping_add(u64::from(*more));
            }
            sum = sum.saturating_add(eight.iter().map(|more| u64::from(*more)).sum());
            (counts, bytes) = (others, rest);
            continue;
        }
        let more = take(&mut bytes)?;
        let (count, others) = counts.split_first_mut().ok_or(Corrupt)?;
        *count = count.saturating_add(more);
        sum = sum.saturating_add(more);
        small &= sum < u64::MAX / 4;
        counts = others;
    }
    Ok(sum)
}

/// A number, most of which take one byte.
fn take(bytes: &mut &[u8]) -> Result<u64, Corrupt> {
    match bytes.split_first() {
        Some((&byte, rest)) if byte < 0x80 => {
            *bytes = rest;
            Ok(u64::from(byte))
        }
        _ => take_varint(bytes),
    }
}
