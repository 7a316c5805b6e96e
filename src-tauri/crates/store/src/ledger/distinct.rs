//! How many different ones: exactly up to 400, beyond that by HyperLogLog (Flajolet et al., AofA
//! 2007) with 2,048 registers, whose standard error is 2.3 %. Mergeable, and what it says depends only
//! on the set, not on the order of additions and merges.

/// At most this many are told apart exactly.
const EXACT: usize = 400;
const REGISTER_BITS: u32 = 11;
const REGISTERS: usize = 1 << REGISTER_BITS;
/// Bits of a hash that are kept: 400 of 2⁴⁰ collide once in fourteen million times.
const HASH_BITS: u32 = 40;
const HASH_BYTES: usize = 5;

/// A set of texts of which only the size is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Distinct {
    /// Hashes, sorted.
    Few(Vec<u64>),
    /// The longest run of zeros seen in each register.
    Many(Box<[u8; REGISTERS]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

/// FNV-1a, then the finaliser of SplitMix64 so that all bits depend on all bytes.
fn hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) >> (64 - HASH_BITS)
}

impl Distinct {
    pub(crate) fn add(&mut self, text: &str) {
        self.add_hash(hash(text));
    }

    fn add_hash(&mut self, hash: u64) {
        match self {
            Self::Few(hashes) => {
                if let Err(at) = hashes.binary_search(&hash) {
                    hashes.insert(at, hash);
                    self.outgrow();
                }
            }
            Self::Many(registers) => register(registers, hash),
        }
    }

    fn outgrow(&mut self) {
        if let Self::Few(hashes) = self
            && hashes.len() > EXACT
        {
            let mut registers = Box::new([0; REGISTERS]);
            for hash in hashes {
                register(&mut registers, *hash);
            }
            *self = Self::Many(registers);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        match other {
            Self::Few(hashes) => {
                for hash in hashes {
                    self.add_hash(*hash);
                }
            }
            Self::Many(theirs) => {
                if let Self::Few(hashes) = self {
                    let hashes = std::mem::take(hashes);
                    *self = other.clone();
                    for hash in hashes {
                        self.add_hash(hash);
                    }
                } else if let Self::Many(ours) = self {
                    for (ours, theirs) in ours.iter_mut().zip(theirs.iter()) {
                        *ours = (*ours).max(*theirs);
                    }
                }
            }
        }
    }

    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Few(hashes) => hashes.len() as u64,
            Self::Many(registers) => {
                let m = REGISTERS as f64;
                let sum: f64 = registers
                    .iter()
                    .map(|zeros| 0.5_f64.powi(i32::from(*zeros)))
                    .sum();
                let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
                let empty = registers.iter().filter(|zeros| **zeros == 0).count();
                let estimate = if raw <= 2.5 * m && empty > 0 {
                    m * (m / empty as f64).ln()
                } else {
                    raw
                };
                (estimate.round() as u64).max(EXACT as u64 + 1)
            }
        }
    }

    /// Appends it: nothing for none, five bytes each for few, or all registers.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Few(hashes) => {
                for hash in hashes {
                    out.extend(hash.to_le_bytes().into_iter().take(HASH_BYTES));
                }
            }
            Self::Many(registers) => out.extend_from_slice(registers.as_slice()),
        }
    }

    /// Adds what was encoded. The two forms differ by their length.
    pub(crate) fn merge_encoded(&mut self, bytes: &[u8]) {
        if let Ok(registers) = <&[u8; REGISTERS]>::try_from(bytes) {
            self.merge(&Self::Many(Box::new(*registers)));
            return;
        }
        for hash in bytes.chunks_exact(HASH_BYTES) {
            let mut wide = [0; 8];
            for (wide, byte) in wide.iter_mut().zip(hash) {
                *wide = *byte;
            }
            self.add_hash(u64::from_le_bytes(wide));
        }
    }
}

fn register(registers: &mut [u8; REGISTERS], hash: u64) {
    let place = (hash >> (HASH_BITS - REGISTER_BITS)) as usize;
    let rest = hash << (64 - HASH_BITS + REGISTER_BITS);
    let zeros = rest.leading_zeros().min(HASH_BITS - REGISTER_BITS) as u8 + 1;
    if let Some(register) = registers.get_mut(place) {
        *register = (*register).max(zeros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(range: std::ops::Range<u32>) -> Distinct {
        let mut distinct = Distinct::default();
        for n in range {
            distinct.add(&format!("user-{n}"));
        }
        distinct
    }

    #[test]
    fn few_are_counted_exactly_and_many_within_a_few_percent() {
        for n in [0, 1, 7, 400] {
            assert_eq!(of(0..n).count(), u64::from(n));
        }
        for n in [401, 1_000, 5_000, 20_000, 300_000] {
            let told = of(0..n).count() as f64;
            let off = (told - f64::from(n)).abs() / f64::from(n);
            assert!(off < 0.08, "{n}: {told}");
        }
    }

    proptest! {
        #[test]
        fn order_and_pieces_do_not_matter(
            cuts in proptest::collection::vec((0_u32..900, 0_u32..500), 1..6),
        ) {
            let mut merged = Distinct::default();
            let mut added = Distinct::default();
            for (from, length) in &cuts {
                let piece = of(*from..from + length);
                let mut bytes = Vec::new();
                piece.encode(&mut bytes);
                merged.merge_encoded(&bytes);
                for n in *from..from + length {
                    added.add(&format!("user-{n}"));
                }
            }
            prop_assert_eq!(&merged, &added);
            let mut other_way = Distinct::default();
            for (from, length) in cuts.iter().rev() {
                other_way.merge(&of(*from..from + length));
            }
            prop_assert_eq!(merged, other_way);
        }
    }
}
