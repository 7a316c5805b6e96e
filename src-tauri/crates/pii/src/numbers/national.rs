//! National numbers, each by its own arithmetic. What has too little of it is taken only beside its name.

use std::ops::Range;

use super::shape::{Digits, ends, matches};
use crate::Kind;
use crate::text::{begins_word, is_told_by};

/// How far before a number its name may stand.
const REACH: usize = 40;

/// What finds where a number ends.
type Find = fn(&[u8], usize) -> Option<usize>;

/// The national number at a place, which begins with `run` digits in a row, and where it ends.
pub(super) fn digits(text: &[u8], start: usize, run: usize) -> Option<(Kind, usize)> {
    let tries: &[(Kind, Find)] = match run {
        1 | 6 | 15 => &[(Kind::FrNir, nir)],
        2 => &[
            (Kind::BeNrn, rijksregister),
            (Kind::EsDni, dni),
            (Kind::DeTaxId, steuer_id),
        ],
        3 => &[(Kind::UsSsn, ssn), (Kind::ChAhv, ahv), (Kind::BrCpf, cpf)],
        4 => &[(Kind::InAadhaar, aadhaar), (Kind::NlBsn, bsn)],
        8 => &[(Kind::EsDni, dni)],
        9 => &[(Kind::UsSsn, ssn), (Kind::NlBsn, bsn)],
        11 => &[(Kind::DeTaxId, steuer_id), (Kind::PlPesel, pesel)],
        12 => &[(Kind::InAadhaar, aadhaar)],
        13 => &[(Kind::ChAhv, ahv), (Kind::FrNir, nir)],
        _ => &[],
    };
    tries
        .iter()
        .find_map(|(kind, find)| find(text, start).map(|end| (*kind, end)))
}

fn told(text: &[u8], start: usize, words: &[&str]) -> bool {
    is_told_by(text, start, REACH, words)
}

/// A number in one of some shapes, and its digits.
fn written(text: &[u8], start: usize, shapes: &[&[u8]]) -> Option<(usize, Digits)> {
    let end = shapes
        .iter()
        .find_map(|shape| matches(text, start, shape))?;
    Some((end, Digits::of(text, start, end)?))
}

fn ssn(text: &[u8], start: usize) -> Option<usize> {
    let (end, digits) = written(text, start, &[b"000-00-0000", b"000 00 0000", b"000000000"])?;
    let (area, group, serial) = (
        digits.number(0, 3),
        digits.number(3, 5),
        digits.number(5, 9),
    );
    let exists = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    let hyphens = text.get(start + 3) == Some(&b'-');
    let surely = hyphens || told(text, start, &["ssn", "social security"]);
    (exists && surely).then_some(end)
}

fn ahv(text: &[u8], start: usize) -> Option<usize> {
    let shapes: [&[u8]; 3] = [b"756.0000.0000.00", b"756 0000 0000 00", b"7560000000000"];
    let (end, digits) = written(text, start, &shapes)?;
    let sum = digits.weighed(&[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]);
    sum.is_multiple_of(10).then_some(end)
}

fn nir(text: &[u8], start: usize) -> Option<usize> {
    let shapes: [&[u8]; 6] = [
        b"0 00 00 00 000 000 00",
        b"000000000000000",
        b"0000000000000 00",
        b"0 00 00 2A 000 000 00",
        b"0 00 00 2B 000 000 00",
        b"000002A00000000",
    ];
    let end = shapes
        .iter()
        .find_map(|shape| matches(text, start, shape))?;
    // Corsica's letters count as 19 and 18.
    let corsica = text
        .get(start..end)?
        .iter()
        .find(|byte| byte.is_ascii_alphabetic());
    let digits = Digits::of(text, start, end)?;
    let (body, key) = match corsica {
        None => (digits.number(0, 13), digits.number(13, 15)),
        Some(letter) => {
            let department = match letter {
                b'A' => 19,
                b'B' => 18,
                _ => return None,
            };
            let body =
                digits.number(0, 5) * 100_000_000 + department * 1_000_000 + digits.number(6, 12);
            (body, digits.number(12, 14))
        }
    };
    let month = digits.number(3, 5);
    let exists =
        matches!(digits.number(0, 1), 1..=4 | 7 | 8) && matches!(month, 1..=12 | 20..=42 | 50..=99);
    (exists && 97 - body % 97 == key).then_some(end)
}

fn rijksregister(text: &[u8], start: usize) -> Option<usize> {
    let end = matches(text, start, b"00.00.00-000.00")?;
    let digits = Digits::of(text, start, end)?;
    let (body, key) = (digits.number(0, 9), digits.number(9, 11));
    // Whoever was born in 2000 or later has a 2 before it.
    let fits = |body: u64| 97 - body % 97 == key;
    (fits(body) || fits(2_000_000_000 + body)).then_some(end)
}

fn cpf(text: &[u8], start: usize) -> Option<usize> {
    let end = matches(text, start, b"000.000.000-00")?;
    let digits = Digits::of(text, start, end)?;
    let check = |weights: &[u32]| match digits.weighed(weights) * 10 % 11 {
        10 => 0,
        check => u64::from(check),
    };
    let first = check(&[10, 9, 8, 7, 6, 5, 4, 3, 2]);
    let second = check(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    let same = digits
        .as_slice()
        .windows(2)
        .all(|pair| pair.first() == pair.last());
    (!same && digits.number(9, 10) == first && digits.number(10, 11) == second).then_some(end)
}

/// The letters of DNI and NIE by the remainder.
const DNI: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

fn dni(text: &[u8], start: usize) -> Option<usize> {
    let shapes: [&[u8]; 3] = [b"00000000A", b"00000000-A", b"00.000.000-A"];
    let (end, digits) = written(text, start, &shapes)?;
    let letter = text.get(end - 1)?;
    dni_letter(digits.number(0, 8), *letter).then_some(end)
}

fn dni_letter(number: u64, letter: u8) -> bool {
    DNI.get((number % 23) as usize) == Some(&letter)
}

/// Spain's number of foreigners: `X1234567L`.
pub(super) fn nie(text: &[u8], start: usize) -> Option<usize> {
    let first = match text.get(start)? {
        b'X' => 0,
        b'Y' => 10_000_000,
        b'Z' => 20_000_000,
        _ => return None,
    };
    let (end, digits) = written(text, start, &[b"A0000000A", b"A0000000-A"])?;
    dni_letter(first + digits.number(0, 7), *text.get(end - 1)?).then_some(end)
}

fn steuer_id(text: &[u8], start: usize) -> Option<usize> {
    let (end, digits) = written(text, start, &[b"00000000000", b"00 000 000 000"])?;
    let all = digits.as_slice();
    let (body, check) = (all.get(..10)?, u32::from(*all.get(10)?));
    if body.first() == Some(&0) {
        return None;
    }
    // Of the first ten exactly one stands there twice or thrice.
    let times = |digit| body.iter().filter(|one| **one == digit).count();
    let many = (0..10).map(times).filter(|times| *times > 1);
    let (repeated, most) = many.fold((0, 0), |(kinds, most), times| (kinds + 1, times.max(most)));
    if repeated != 1 || most > 3 {
        return None;
    }
    // ISO 7064, MOD 11,10.
    let product = body.iter().fold(10, |product, digit| {
        let sum = match (u32::from(*digit) + product) % 10 {
            0 => 10,
            sum => sum,
        };
        sum * 2 % 11
    });
    ((11 - product) % 10 == check).then_some(end)
}

fn pesel(text: &[u8], start: usize) -> Option<usize> {
    let (end, digits) = written(text, start, &[b"00000000000"])?;
    let sum = digits.weighed(&[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    let dated = matches!(digits.number(2, 4) % 20, 1..=12) && matches!(digits.number(4, 6), 1..=31);
    (sum.is_multiple_of(10) && dated && told(text, start, &["pesel"])).then_some(end)
}

fn bsn(text: &[u8], start: usize) -> Option<usize> {
    let (end, digits) = written(text, start, &[b"000000000", b"0000.00.000"])?;
    let plus = digits.weighed(&[9, 8, 7, 6, 5, 4, 3, 2]);
    let last = u32::try_from(digits.number(8, 9)).ok()?;
    let fits = plus > 0 && plus % 11 == last;
    let words = ["bsn", "burgerservicenummer", "sofinummer", "burger service"];
    (fits && told(text, start, &words)).then_some(end)
}

fn aadhaar(text: &[u8], start: usize) -> Option<usize> {
    let (end, digits) = written(
        text,
        start,
        &[b"0000 0000 0000", b"0000-0000-0000", b"000000000000"],
    )?;
    let exists = digits.number(0, 1) >= 2 && verhoeff(digits.as_slice());
    (exists && told(text, start, &["aadhaar", "aadhar", "uidai"])).then_some(end)
}

/// Verhoeff's check, by the dihedral group of ten.
fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTATION: [usize; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    fn product(a: usize, b: usize) -> usize {
        match (a < 5, b < 5) {
            (true, true) => (a + b) % 5,
            (true, false) => 5 + (a + b - 5) % 5,
            (false, true) => 5 + (a - 5 + 5 - b) % 5,
            (false, false) => (a - 5 + 5 - (b - 5)) % 5,
        }
    }
    let sum = digits
        .iter()
        .rev()
        .enumerate()
        .fold(0, |sum, (place, digit)| {
            let mut digit = usize::from(*digit);
            for _ in 0..place % 8 {
                digit = PERMUTATION.get(digit).copied().unwrap_or(0);
            }
            product(sum, digit)
        });
    sum == 0
}

/// United Kingdom: two letters, six digits, a letter.
pub(super) fn nino(text: &[u8], start: usize) -> Option<usize> {
    let shapes: [&[u8]; 3] = [b"AA000000A", b"AA 00 00 00 A", b"AA00 00 00 A"];
    let end = shapes
        .iter()
        .find_map(|shape| matches(text, start, shape))?;
    let [one, two] = *text.get(start..start + 2)? else {
        return None;
    };
    let barred = |letter| matches!(letter, b'D' | b'F' | b'I' | b'Q' | b'U' | b'V');
    let pair_barred = matches!(
        &[one, two],
        b"BG" | b"GB" | b"NK" | b"KN" | b"TN" | b"NT" | b"ZZ"
    );
    let suffix = text.get(end - 1)?;
    let exists = !barred(one) && !barred(two) && two != b'O' && !pair_barred;
    (exists && matches!(suffix, b'A'..=b'D')).then_some(end)
}

/// The same, with a blank between its letters and the digits that begin at a place.
pub(super) fn spaced_nino(text: &[u8], digits: usize) -> Option<Range<usize>> {
    let start = digits.checked_sub(3)?;
    let fits = text.get(digits - 1) == Some(&b' ') && begins_word(text, start);
    fits.then(|| nino(text, start).map(|end| start..end))?
}

/// Italy: six letters, and ten more characters, of which the last checks the others.
pub(super) fn codice_fiscale(text: &[u8], start: usize) -> Option<usize> {
    // Digits may be letters, where two people would have the same.
    const INSTEAD: &[u8] = b"LMNPQRSTUV";
    const MONTHS: &[u8] = b"ABCDEHLMPRST";
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let end = start + 16;
    let written = text.get(start..end)?;
    let mut code = [0u8; 16];
    for (slot, byte) in code.iter_mut().zip(written) {
        *slot = byte.to_ascii_uppercase();
    }
    let fits = code.iter().enumerate().all(|(place, byte)| match place {
        0..=5 | 11 | 15 => byte.is_ascii_uppercase(),
        8 => MONTHS.contains(byte),
        _ => byte.is_ascii_digit() || INSTEAD.contains(byte),
    });
    if !fits || !ends(text, end) {
        return None;
    }
    let value = |byte: u8| {
        usize::from(if byte.is_ascii_digit() {
            byte - b'0'
        } else {
            byte.saturating_sub(b'A')
        })
    };
    let sum: u32 = code
        .iter()
        .take(15)
        .enumerate()
        .map(|(place, byte)| {
            if place % 2 == 0 {
                ODD.get(value(*byte)).copied().unwrap_or(0)
            } else {
                value(*byte) as u32
            }
        })
        .sum();
    let check = code.last().map(|byte| value(*byte) as u32);
    (check == Some(sum % 26)).then_some(end)
}
