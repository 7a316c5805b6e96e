//! Names of calls: ULIDs, which sort by time and need nobody to be asked.

use cockpit_model::Timestamp;

/// Crockford's base 32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new name, 26 characters: 48 bits of milliseconds, 80 bits of chance.
pub(crate) fn new(at: Timestamp) -> String {
    let millis = u128::try_from(at.as_millisecond()).unwrap_or(0) & 0xFFFF_FFFF_FFFF;
    let chance = rand::random::<u128>() >> 48;
    write(millis << 80 | chance)
}

fn write(mut id: u128) -> String {
    let mut text = [b'0'; 26];
    for place in text.iter_mut().rev() {
        // 5 bits are always below 32.
        *place = DIGITS.get((id & 31) as usize).copied().unwrap_or(b'0');
        id >>= 5;
    }
    text.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn sorts_by_time_and_never_repeats() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        assert!(new(at(1_700_000_000_000)) < new(at(1_700_000_000_001)));
        assert!(
            new(at(1_700_000_000_000)).starts_with("01HF7YAT00"),
            "as others write it"
        );
        let many: std::collections::HashSet<_> = (0..10_000).map(|_| new(at(1))).collect();
        assert_eq!(many.len(), 10_000);
        assert_eq!(write(u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    }
}
