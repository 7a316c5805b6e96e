//! The key of a row: its time, then its place among what happened in the same millisecond. So the
//! table lies in the order of time, whatever the order of arrival, and needs no index for it.

use jiff::Timestamp;

/// Places in one millisecond: two million.
const PLACE_BITS: u32 = 21;
const PLACES: u32 = 1 << PLACE_BITS;
/// How far to look for a free place in a crowded millisecond; odd, so that all are reached.
const STRIDE: u32 = 7919;

/// The key of a place in a millisecond.
pub(crate) fn key(ms: i64, place: u32) -> i64 {
    (ms << PLACE_BITS) | i64::from(place % PLACES)
}

/// The least key of a millisecond: all that is at or after it has one as large.
pub(crate) fn first(ms: i64) -> i64 {
    // Times beyond 2109 are not kept; queries may ask for them.
    ms.clamp(0, i64::MAX >> PLACE_BITS) << PLACE_BITS
}

/// The millisecond of a key.
pub(crate) fn ms(key: i64) -> i64 {
    key >> PLACE_BITS
}

/// The next place to try, when one is taken.
pub(crate) fn after(place: u32) -> u32 {
    place.wrapping_add(STRIDE) % PLACES
}

/// A time's millisecond, and what is left of it in nanoseconds.
pub(crate) fn split(at: Timestamp) -> (i64, u32) {
    let ns = at.as_nanosecond();
    let ms = i64::try_from(ns.div_euclid(1_000_000)).unwrap_or(i64::MAX);
    (ms, ns.rem_euclid(1_000_000) as u32)
}

/// The time of a millisecond and what is beyond it.
pub(crate) fn time(ms: i64, sub_ns: u32) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(ms) * 1_000_000 + i128::from(sub_ns))
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Keys as the differences between them.
pub(crate) fn pack(keys: &mut [i64]) -> Vec<u8> {
    keys.sort_unstable();
    let mut bytes = Vec::with_capacity(keys.len() * 4);
    let mut last = 0;
    for key in keys {
        crate::encode::put((*key - last).unsigned_abs(), &mut bytes);
        last = *key;
    }
    bytes
}

/// What [`pack`] packed; stops at what makes no sense.
pub(crate) fn unpack(mut bytes: &[u8]) -> Vec<i64> {
    let mut keys = Vec::new();
    let mut last = 0_i64;
    while let Some(distance) = crate::encode::take(&mut bytes) {
        let Some(key) = i64::try_from(distance)
            .ok()
            .and_then(|distance| last.checked_add(distance))
        else {
            break;
        };
        keys.push(key);
        last = key;
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_comes_back(ns in 0_i64..4_000_000_000_000_000_000) {
            let at = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH);
            let (in_ms, sub_ns) = split(at);
            prop_assert_eq!(time(in_ms, sub_ns), at);
            prop_assert_eq!(ms(key(in_ms, 1_999_999)), in_ms);
            prop_assert!(key(in_ms, 7) < first(in_ms + 1));
        }

        #[test]
        fn keys_come_back(mut keys in proptest::collection::vec(0_i64..i64::MAX, 0..50)) {
            let packed = pack(&mut keys);
            prop_assert_eq!(unpack(&packed), keys);
        }
    }
}
