//! Numbers by how they are written.

/// Where what is written like `shape` at a place ends: `0` is a digit, `A` a capital letter, everything else itself.
/// It must not go on: no letter or digit follows, nor a sign and then a digit.
pub(super) fn matches(text: &[u8], start: usize, shape: &[u8]) -> Option<usize> {
    let end = start + shape.len();
    let written = text.get(start..end)?;
    let fits = written.iter().zip(shape).all(|(byte, sign)| match sign {
        b'0' => byte.is_ascii_digit(),
        b'A' => byte.is_ascii_uppercase(),
        sign => byte == sign,
    });
    (fits && ends(text, end)).then_some(end)
}

/// Whether a number may end at a place.
pub(super) fn ends(text: &[u8], end: usize) -> bool {
    match text.get(end) {
        None => true,
        Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'_' => false,
        Some(b'-' | b'.' | b',' | b'/') => !text.get(end + 1).is_some_and(u8::is_ascii_digit),
        Some(b'%') => false,
        Some(_) => true,
    }
}

/// The digits of a range, at most 24.
pub(super) struct Digits {
    all: [u8; 24],
    count: usize,
}

impl Digits {
    pub(super) fn of(text: &[u8], start: usize, end: usize) -> Option<Self> {
        let mut digits = Self {
            all: [0; 24],
            count: 0,
        };
        for byte in text
            .get(start..end)?
            .iter()
            .filter(|byte| byte.is_ascii_digit())
        {
            *digits.all.get_mut(digits.count)? = byte - b'0';
            digits.count += 1;
        }
        Some(digits)
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.all.get(..self.count).unwrap_or_default()
    }

    /// A part of them as a number.
    pub(super) fn number(&self, from: usize, to: usize) -> u64 {
        let part = self.as_slice().get(from..to).unwrap_or_default();
        // 24 digits do not fit; nobody asks for more than 18.
        part.iter().fold(0, |sum: u64, digit| {
            sum.wrapping_mul(10).wrapping_add(u64::from(*digit))
        })
    }

    /// The sum of each digit with its weight.
    pub(super) fn weighed(&self, weights: &[u32]) -> u32 {
        let pairs = self.as_slice().iter().zip(weights);
        pairs
            .map(|(digit, weight)| u32::from(*digit) * weight)
            .sum()
    }
}
