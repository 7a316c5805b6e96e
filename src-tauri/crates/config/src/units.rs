//! Durations (`200ms`, `2s`, `1m30s`) and sizes (`50MiB`), read and written.

use std::time::Duration;

/// Longest duration that makes sense in a configuration: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

const DURATIONS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads whole numbers with units `ms`, `s`, `m`, `h`, `d`, largest first: `90s`, `1m30s`.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    if rest.is_empty() {
        return Err("is empty".to_owned());
    }
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(end).unwrap_or((after, ""));
        if unit.is_empty() {
            return Err("has no unit".to_owned());
        }
        let Some((_, millis)) = DURATIONS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("has the unknown unit `{}`", first(unit)));
        };
        if *millis >= smallest {
            return Err("has its units out of order".to_owned());
        }
        smallest = *millis;
        total = number
            .checked_mul(*millis)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| "is too long".to_owned())?;
        rest = next;
    }
    let duration = Duration::from_millis(total);
    if duration > LONGEST {
        return Err("is longer than a year".to_owned());
    }
    Ok(duration)
}

/// Reads a whole number with a unit `B KB MB GB TB KiB MiB GiB TiB`, in bytes.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    let (number, unit) = number(text)?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Err("has no unit".to_owned());
    }
    let Some((_, bytes)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("has the unknown unit `{}`", first(unit)));
    };
    number
        .checked_mul(*bytes)
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| "is too large".to_owned())
}

/// A duration as it is written in the file: `1m30s`, `0ms`.
pub fn format_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, millis) in DURATIONS.iter().rev() {
        let count = left / millis;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            left %= millis;
        }
    }
    if text.is_empty() {
        text.push_str("0ms");
    }
    text
}

/// A size as it is written in the file: in the largest unit that divides it.
pub fn format_size(bytes: u64) -> String {
    let unit = SIZES
        .iter()
        .filter(|(name, unit)| name.len() != 2 && bytes != 0 && bytes.is_multiple_of(*unit))
        .max_by_key(|(_, unit)| *unit);
    match unit {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

fn number(text: &str) -> Result<(u64, &str), String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    if digits.is_empty() {
        return Err("does not begin with a number".to_owned());
    }
    if rest.starts_with('.') {
        return Err("is not a whole number of its unit".to_owned());
    }
    let number = digits.parse().map_err(|_| "is too large".to_owned())?;
    Ok((number, rest))
}

/// The beginning of a unit, so that no message grows with its input.
fn first(text: &str) -> String {
    text.chars().take(12).collect()
}
