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

/// When our gateway gave this id, in Unix milliseconds: those are ULIDs, which begin with their time. `None` for ids
/// of another form. Others make ULIDs too; they never repeat either.
pub(crate) fn given_at(id: &str) -> Option<i64> {
    // Crockford's base 32.
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'H' => Some(byte - b'A' + 10),
        b'J' | b'K' => Some(byte - b'J' + 18),
        b'M' | b'N' => Some(byte - b'M' + 20),
        b'P'..=b'T' => Some(byte - b'P' + 22),
        b'V'..=b'Z' => Some(byte - b'V' + 27),
        _ => None,
    };
    if id.len() != 26 || !id.bytes().all(|byte| digit(byte).is_some()) {
        return None;
    }
    let time = id.bytes().take(10).filter_map(digit);
    Some(time.fold(0, |ms, digit| ms << 5 | i64::from(digit)))
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

    #[test]
    fn a_gateways_id_says_when_it_was_given() {
        assert_eq!(
            given_at("01HF7YAT000000000000000000"),
            Some(1_700_000_000_000)
        );
        assert_eq!(
            given_at("01HF7YAT010123456789ABCDEF"),
            Some(1_700_000_000_001)
        );
        for other in [
            "",
            "a",
            "01HF7YAT00000000000000000",
            "01HF7YAT0000000000000000U0",
            "ä1HF7YAT00000000000000000",
        ] {
            assert_eq!(given_at(other), None, "{other}");
        }
    }

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
