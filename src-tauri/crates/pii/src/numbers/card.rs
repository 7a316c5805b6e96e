//! Payment cards.

use super::shape::{Digits, matches};

/// How cards are written: in fours as they are printed, as American Express and Diners print theirs, or in one.
const SHAPES: &[&[u8]] = &[
    b"0000 0000 0000 0000 000",
    b"0000 0000 0000 0000",
    b"0000-0000-0000-0000",
    b"0000 000000 00000",
    b"0000-000000-00000",
    b"0000 000000 0000",
    b"0000-000000-0000",
    b"0000000000000000000",
    b"000000000000000000",
    b"00000000000000000",
    b"0000000000000000",
    b"000000000000000",
    b"00000000000000",
];

/// Where the card at a place ends, which begins with `run` digits in a row.
pub(super) fn find(text: &[u8], start: usize, run: usize) -> Option<usize> {
    if run != 4 && !(14..=19).contains(&run) {
        return None;
    }
    SHAPES.iter().find_map(|shape| {
        let end = matches(text, start, shape)?;
        let digits = Digits::of(text, start, end)?;
        (issued(&digits) && luhn(digits.as_slice())).then_some(end)
    })
}

/// Whether somebody issues such numbers, of that length.
fn issued(digits: &Digits) -> bool {
    let length = digits.as_slice().len();
    let two = digits.number(0, 2);
    let three = digits.number(0, 3);
    let four = digits.number(0, 4);
    match length {
        14 => matches!(three, 300..=305) || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37),
        16 => {
            two / 10 == 4
                || matches!(two, 51..=55 | 62 | 65)
                || matches!(three, 644..=649)
                || matches!(
                    four,
                    2221..=2720 | 3528..=3589 | 6011 | 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763
                )
        }
        17 | 18 => two == 62 || matches!(four, 3528..=3589 | 6011 | 6304 | 6759 | 6761..=6763),
        19 => two / 10 == 4 || two == 62 || matches!(four, 3528..=3589 | 6304 | 6759 | 6761..=6763),
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(*digit);
            if place % 2 == 0 {
                digit
            } else {
                let twice = digit * 2;
                twice / 10 + twice % 10
            }
        })
        .sum();
    // Of one digit only, nobody's.
    sum.is_multiple_of(10) && digits.windows(2).any(|pair| pair.first() != pair.last())
}
