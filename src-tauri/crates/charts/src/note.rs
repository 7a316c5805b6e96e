//! What happened meanwhile: a restart, a deploy, a sleep. A line over a chart, or a shade where it lasted.

use jiff::Timestamp;

/// Longer labels are cut: they stand above a plot of a hundred words' width.
const LONGEST: usize = 28;
/// More would be a hatching.
const MOST: usize = 60;

/// Something that happened while a chart's figures were measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When it began; the same as `to` for what took no time.
    pub from: Timestamp,
    /// When it was over.
    pub to: Timestamp,
    /// In a few words: `restart api`.
    pub label: String,
}

/// A note inside a chart's window.
#[derive(Debug)]
pub(crate) struct Placed {
    pub from_ms: i64,
    pub to_ms: i64,
    pub label: String,
}

/// Those of the window, oldest first; of too many, the newest.
pub(crate) fn place(notes: &[Note], from_ms: i64, to_ms: i64) -> Vec<Placed> {
    let mut placed: Vec<Placed> = notes
        .iter()
        .map(|note| Placed {
            from_ms: note.from.as_millisecond().min(note.to.as_millisecond()),
            to_ms: note.to.as_millisecond(),
            label: clean(&note.label, LONGEST),
        })
        .filter(|note| note.to_ms >= from_ms && note.from_ms <= to_ms)
        .collect();
    placed.sort_by_key(|note| note.to_ms);
    placed.drain(..placed.len().saturating_sub(MOST));
    placed
}

/// Names come from outside: without what cannot be shown, and cut in the middle, since the ends tell
/// models apart.
pub(crate) fn clean(name: &str, longest: usize) -> String {
    let letters: Vec<char> = name
        .chars()
        .filter(|letter| !letter.is_control() && !matches!(letter, '\u{fffe}' | '\u{ffff}'))
        .collect();
    cut(&letters, longest)
}

/// So many letters of a text, without its middle.
pub(crate) fn cut(letters: &[char], longest: usize) -> String {
    if letters.len() <= longest {
        return letters.iter().collect();
    }
    let tail = longest / 2;
    let head = longest.saturating_sub(tail + 1);
    let start = letters.iter().take(head);
    let end = letters.iter().skip(letters.len() - tail);
    start.chain(&['…']).chain(end).collect()
}
