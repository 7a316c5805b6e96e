//! One record of the CRI log format: its head written and parsed.

use super::Stream;

/// The bytes before a record's text, with the longest stream name: time, stream, tag and three spaces.
pub(crate) const MAX_HEAD: usize = TIME + 1 + 7 + 1 + 1 + 1;

/// A timestamp's bytes: `2026-11-23T06:03:25.123456789Z`.
const TIME: usize = 30;

/// Appends `at_nanos` (Unix time) as RFC 3339 with nine digits. Outside of the years 0 to 9999 it is clamped.
pub(crate) fn write_time(at_nanos: i64, out: &mut Vec<u8>) {
    // 0000-03-01 is far below what an i64 of nanoseconds reaches (1677 to 2262), so the arithmetic cannot wrap.
    let secs = at_nanos.div_euclid(1_000_000_000);
    let nanos = at_nanos.rem_euclid(1_000_000_000);
    let days = secs.div_euclid(86_400);
    let second = secs.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    for (value, width, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (second / 3600, 2, b':'),
        (second / 60 % 60, 2, b':'),
        (second % 60, 2, b'.'),
        (nanos, 9, b'Z'),
    ] {
        digits(value, width, out);
        out.push(after);
    }
}

fn digits(value: i64, width: u32, out: &mut Vec<u8>) {
    let mut unit = 10_i64.pow(width - 1);
    while unit > 0 {
        out.push(b'0' + u8::try_from(value / unit % 10).unwrap_or(0));
        unit /= 10;
    }
}

/// The date of a day counted from 1970-01-01 (proleptic Gregorian; H. Hinnant's algorithm).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The day counted from 1970-01-01 of a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Appends a record's head, after `time` was formatted by [`write_time`].
pub(crate) fn write_head(time: &[u8], stream: Stream, partial: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(time);
    out.push(b' ');
    out.extend_from_slice(stream.as_str().as_bytes());
    out.extend_from_slice(if partial { b" P " } else { b" F " });
}

/// A record as it stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) at_nanos: i64,
    pub(crate) stream: Stream,
    pub(crate) partial: bool,
    pub(crate) text: &'a [u8],
}

/// Reads one line of a file (without its newline); `None` if it is damaged.
pub(crate) fn parse(line: &[u8]) -> Option<Record<'_>> {
    let (time, rest) = line.split_at_checked(TIME)?;
    let at_nanos = parse_time(time)?;
    let rest = rest.strip_prefix(b" ")?;
    let (stream, rest) = [Stream::Stdout, Stream::Stderr, Stream::Cockpit]
        .into_iter()
        .find_map(|s| Some((s, rest.strip_prefix(s.as_str().as_bytes())?)))?;
    let rest = rest.strip_prefix(b" ")?;
    let (partial, text) = match rest.split_first_chunk::<2>()? {
        (b"F ", text) => (false, text),
        (b"P ", text) => (true, text),
        _ => return None,
    };
    Some(Record {
        at_nanos,
        stream,
        partial,
        text,
    })
}

fn parse_time(time: &[u8]) -> Option<i64> {
    let number = |from: usize, to: usize, after: u8| -> Option<i64> {
        if *time.get(to)? != after {
            return None;
        }
        time.get(from..to)?.iter().try_fold(0_i64, |n, digit| {
            digit
                .is_ascii_digit()
                .then(|| n * 10 + i64::from(digit - b'0'))
        })
    };
    let (year, month, day) = (
        number(0, 4, b'-')?,
        number(5, 7, b'-')?,
        number(8, 10, b'T')?,
    );
    let (hour, minute, second) = (
        number(11, 13, b':')?,
        number(14, 16, b':')?,
        number(17, 19, b'.')?,
    );
    let nanos = number(20, 29, b'Z')?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let secs = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    i64::try_from(i128::from(secs) * 1_000_000_000 + i128::from(nanos)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn head(at: i64, stream: Stream, partial: bool) -> Vec<u8> {
        let (mut time, mut out) = (Vec::new(), Vec::new());
        write_time(at, &mut time);
        write_head(&time, stream, partial, &mut out);
        out
    }

    #[test]
    fn reads_as_the_format_says() {
        let at = 1_795_413_805_123_456_789;
        let mut line = head(at, Stream::Stdout, false);
        line.extend_from_slice(b"text");
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "2026-11-23T06:03:25.123456789Z stdout F text"
        );
        assert_eq!(head(at, Stream::Cockpit, true).len(), MAX_HEAD);
        assert_eq!(
            head(0, Stream::Stderr, true),
            b"1970-01-01T00:00:00.000000000Z stderr P "
        );
        assert_eq!(parse(b"2026-11-23T06:03:25.123456789Z stdout X text"), None);
        assert_eq!(parse(b"2026-13-23T06:03:25.123456789Z stdout F text"), None);
        assert_eq!(parse(b""), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(at: i64, partial: bool, text: Vec<u8>) {
            for stream in [Stream::Stdout, Stream::Stderr, Stream::Cockpit] {
                let mut line = head(at, stream, partial);
                line.extend_from_slice(&text);
                prop_assert_eq!(parse(&line), Some(Record { at_nanos: at, stream, partial, text: &text }));
            }
        }

        #[test]
        fn any_bytes_are_read(line: Vec<u8>) {
            let _ = parse(&line);
        }
    }
}
