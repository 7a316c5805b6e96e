//! How many values spread, in a few hundred bytes, mergeable: a DDSketch (Masson, Rim, Lee, VLDB 2019).
//!
//! A positive value falls into the bin `(MIN·γᵏ⁻¹, MIN·γᵏ]` with `γ = (1 + α) / (1 − α)`; what is told of a bin is
//! the value whose relative distance to both ends is `α` = 1 %. So any quantile is within 1 % of the exact
//! nearest-rank one ([`crate::percentile`]).
//!
//! The bins are fixed: 2,048 of them, from 10⁻⁶ to 6·10¹¹ (of milliseconds: a nanosecond to nineteen years). What lies
//! below counts as zero, what lies above counts in the last bin. No bins are ever collapsed into each other, so a
//! merge is exact, whatever the order: the merge of two sketches *is* the sketch of all their values.
//!
//! # Encoding
//!
//! ```text
//! varint  zeros
//! u8      layout: 0 sparse, 1 dense (the shorter is written)
//! sparse: for each bin in ascending order
//!           varint  2 × (distance from the bin before, less one) + 1 if its count is 1
//!           varint  its count, unless it is 1
//! dense:  varint  first bin
//!         varint  the count of it and of each bin after it, to the last that is not empty
//! ```
//! A varint is LEB128. The end of the bytes is the end of the sketch.

mod dense;

use std::ops::ControlFlow;

use crate::percentile::rank;

pub use dense::Dense;

/// The bins: as many as fit, see the module.
const BINS: u16 = 2048;

/// The upper end of the first bin.
const MIN: f64 = 1e-6;

/// ln γ for α = 1 %.
const LN_GAMMA: f64 = 0.020_000_666_706_669_435;

/// 2 / (γ + 1): from the upper end of a bin to the value that is told of it.
const CENTRE: f64 = 0.99;

const SPARSE: u8 = 0;
const DENSE: u8 = 1;

/// A DDSketch with 1 % relative error. The default is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sketch {
    /// How many values were zero (or less, or below [`MIN`]).
    zeros: u64,
    /// The bins that hold something, in ascending order, with how much.
    bins: Vec<(u16, u64)>,
    /// All of it.
    count: u64,
}

/// The bytes are no sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a sketch")]
pub struct Corrupt;

impl Sketch {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one value. What is not finite is no value and is left out; what is negative counts as zero.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.count = self.count.saturating_add(1);
        match bin_of(value) {
            None => self.zeros = self.zeros.saturating_add(1),
            Some(bin) => {
                let place = self.bins.binary_search_by_key(&bin, |&(bin, _)| bin);
                match place {
                    Ok(at) => {
                        if let Some((_, count)) = self.bins.get_mut(at) {
                            *count = count.saturating_add(1);
                        }
                    }
                    Err(at) => self.bins.insert(at, (bin, 1)),
                }
            }
        }
    }

    /// Counts what `other` counted. Exact, in any order.
    pub fn merge(&mut self, other: &Self) {
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.count = self.count.saturating_add(other.count);
        self.merge_bins(&other.bins);
    }

    /// Counts what an encoded sketch counted. On an error nothing has changed.
    pub fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        self.merge(&Self::decode(bytes)?);
        Ok(())
    }

    fn merge_bins(&mut self, others: &[(u16, u64)]) {
        if self.bins.is_empty() {
            self.bins.extend_from_slice(others);
            return;
        }
        let mut merged = Vec::with_capacity(self.bins.len().max(others.len()));
        let mut ours = self.bins.iter().copied().peekable();
        let mut theirs = others.iter().copied().peekable();
        loop {
            let next = match (ours.peek(), theirs.peek()) {
                (Some(&(a, mine)), Some(&(b, more))) if a == b => {
                    theirs.next();
                    ours.next();
                    Some((a, mine.saturating_add(more)))
                }
                (Some((a, _)), Some((b, _))) if a < b => ours.next(),
                (Some(_), None) => ours.next(),
                (_, Some(_)) => theirs.next(),
                (None, None) => None,
            };
            match next {
                Some(bin) => merged.push(bin),
                None => break,
            }
        }
        self.bins = merged;
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The `q`-quantile (`0.95` for P95) by nearest rank, within 1 %; `None` for an empty sketch or a `q` that is not
    /// in `0.0..=1.0`.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = rank(self.count, q)?;
        if rank <= self.zeros {
            return Some(0.0);
        }
        let found = self
            .bins
            .iter()
            .try_fold(self.zeros, |below, &(bin, count)| {
                let upto = below.saturating_add(count);
                if upto >= rank {
                    ControlFlow::Break(bin)
                } else {
                    ControlFlow::Continue(upto)
                }
            });
        match found {
            ControlFlow::Break(bin) => Some(centre(bin)),
            ControlFlow::Continue(_) => None,
        }
    }

    /// Appends the sketch to `out`; typically one to two bytes for each bin that holds something.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.zeros);
        let layout = out.len();
        out.push(SPARSE);
        let mut next = 0;
        for &(bin, count) in &self.bins {
            let token = u64::from(bin - next) << 1;
            if count == 1 {
                put_varint(out, token | 1);
            } else {
                put_varint(out, token);
                put_varint(out, count);
            }
            next = bin + 1;
        }
        if self.dense_length() < out.len() - layout - 1 {
            out.truncate(layout);
            out.push(DENSE);
            self.encode_dense(out);
        }
    }

    /// What [`Self::encode_dense`] would append.
    fn dense_length(&self) -> usize {
        let (Some(&(first, _)), Some(&(last, _))) = (self.bins.first(), self.bins.last()) else {
            return usize::MAX;
        };
        let counts: usize = self
            .bins
            .iter()
            .map(|&(_, count)| varint_length(count))
            .sum();
        varint_length(u64::from(first)) + counts + usize::from(last - first + 1) - self.bins.len()
    }

    fn encode_dense(&self, out: &mut Vec<u8>) {
        let mut next = self.bins.first().map_or(0, |&(first, _)| first);
        put_varint(out, u64::from(next));
        for &(bin, count) in &self.bins {
            out.extend(std::iter::repeat_n(0, usize::from(bin - next)));
            put_varint(out, count);
            next = bin + 1;
        }
    }

    /// What [`Self::encode`] wrote. Any other bytes are an error or a sketch, never a panic, and never more memory
    /// than [`BINS`] bins.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, Corrupt> {
        let bytes = &mut bytes;
        let zeros = take_varint(bytes)?;
        let mut sketch = Self {
            zeros,
            count: zeros,
            bins: Vec::new(),
        };
        let (layout, rest) = bytes.split_first().ok_or(Corrupt)?;
        *bytes = rest;
        match *layout {
            SPARSE => {
                let mut next = 0;
                while !bytes.is_empty() {
                    let token = take_varint(bytes)?;
                    let bin = bin_at(next, token >> 1)?;
                    let count = if token & 1 == 1 {
                        1
                    } else {
                        take_varint(bytes)?
                    };
                    sketch.push(bin, count)?;
                    next = bin + 1;
                }
            }
            DENSE => {
                let mut next = bin_at(0, take_varint(bytes)?)?;
                while !bytes.is_empty() {
                    let bin = bin_at(next, 0)?;
                    let count = take_varint(bytes)?;
                    if count != 0 {
                        sketch.push(bin, count)?;
                    }
                    next = bin + 1;
                }
            }
            _ => return Err(Corrupt),
        }
        Ok(sketch)
    }

    fn push(&mut self, bin: u16, count: u64) -> Result<(), Corrupt> {
        if count == 0 {
            return Err(Corrupt);
        }
        self.count = self.count.checked_add(count).ok_or(Corrupt)?;
        self.bins.push((bin, count));
        Ok(())
    }
}

/// The bin `distance` beyond `next`, if there is one.
fn bin_at(next: u16, distance: u64) -> Result<u16, Corrupt> {
    let bin = u64::from(next).checked_add(distance).ok_or(Corrupt)?;
    if bin < u64::from(BINS) {
        u16::try_from(bin).map_err(|_| Corrupt)
    } else {
        Err(Corrupt)
    }
}

/// The bin of a finite value; `None` where it counts as zero.
fn bin_of(value: f64) -> Option<u16> {
    if value < MIN {
        return None;
    }
    let bin = ((value / MIN).ln() / LN_GAMMA).ceil();
    Some(bin.clamp(0.0, f64::from(BINS - 1)) as u16)
}

/// The value that is told of a bin.
fn centre(bin: u16) -> f64 {
    MIN * (f64::from(bin) * LN_GAMMA).exp() * CENTRE
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_length(value: u64) -> usize {
    let bits = (u64::BITS - value.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, Corrupt> {
    let mut value = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Corrupt)?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit only.
        if (low << shift) >> shift != low {
            return Err(Corrupt);
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Corrupt)
}

#[cfg(test)]
mod tests;
