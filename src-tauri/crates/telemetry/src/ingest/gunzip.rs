//! Bodies that were packed.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

/// What became of a packed body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unpacked {
    /// All of it.
    Whole(Vec<u8>),
    /// There is more in it than was allowed.
    TooLarge,
    /// It is no gzip, or damaged.
    Damaged(String),
}

/// Unpacks gzip, never to more than `most` bytes.
pub fn gunzip(packed: &[u8], most: usize) -> Unpacked {
    let mut whole = Vec::with_capacity((packed.len() * 4).min(most));
    let allowed = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    match MultiGzDecoder::new(packed)
        .take(allowed)
        .read_to_end(&mut whole)
    {
        Ok(_) if whole.len() > most => Unpacked::TooLarge,
        Ok(_) => Unpacked::Whole(whole),
        Err(error) => Unpacked::Damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn unpacks_within_bounds() {
        let bomb = packed(&vec![b' '; 10 << 20]);
        assert!(bomb.len() < 100_000, "it is one");
        assert_eq!(gunzip(&bomb, 1 << 20), Unpacked::TooLarge);
        let body = packed(b"{}");
        assert_eq!(gunzip(&body, 2), Unpacked::Whole(b"{}".to_vec()));
        assert_eq!(gunzip(&body, 1), Unpacked::TooLarge);
        assert!(matches!(gunzip(&body[..12], 9), Unpacked::Damaged(_)));
        assert!(matches!(gunzip(b"{}", 9), Unpacked::Damaged(_)));
        // Two packs one after the other are one, as gzip has it.
        let two = [packed(b"a"), packed(b"b")].concat();
        assert_eq!(gunzip(&two, 9), Unpacked::Whole(b"ab".to_vec()));
    }
}
