//! Reading a log: the last lines from the end, and every further line as it is written.
//!
//! Both read in blocks and cap a line at [`MAX_LINE`], so that memory is bounded whatever is in the files. A damaged
//! line (a writer was killed, a disk was full, somebody edited the file) is passed over. A rotation while reading is
//! harmless: an open file stays what it was, whatever its name has become.

mod follow;
mod tail;
#[cfg(test)]
mod tests;

use super::record::parse;
use super::{Line, Stream};

pub use follow::{Follow, Position};
pub use tail::{Tail, tail};

/// The longest line that is given back, in bytes; the rest of a longer one is left out.
pub const MAX_LINE: usize = 1024 * 1024;

/// The longest line of a *file* that is looked at: a record is far shorter, so more is damage.
const MAX_RECORD: usize = 64 * 1024;

/// Joins the parts of long lines. Records must come oldest first.
#[derive(Debug, Default)]
struct Joiner {
    begun: [Option<(i64, Vec<u8>)>; 3],
}

impl Joiner {
    /// Takes one line of a file; a whole line if it was the last part of one.
    fn push(&mut self, line: &[u8]) -> Option<Line> {
        let record = parse(line)?;
        let begun = self.begun.get_mut(usize::from(record.stream.code()) - 1)?;
        if record.partial {
            let (_, text) = begun.get_or_insert_with(|| (record.at_nanos, Vec::new()));
            append(text, record.text);
            return None;
        }
        Some(match begun.take() {
            None => line_of(record.at_nanos, record.stream, record.text),
            Some((at_nanos, mut text)) => {
                append(&mut text, record.text);
                line_of(at_nanos, record.stream, &text)
            }
        })
    }
}

fn append(text: &mut Vec<u8>, part: &[u8]) {
    let room = MAX_LINE.saturating_sub(text.len());
    text.extend_from_slice(part.get(..room).unwrap_or(part));
}

fn line_of(at_nanos: i64, stream: Stream, text: &[u8]) -> Line {
    Line {
        at_nanos,
        stream,
        text: String::from_utf8_lossy(text).into_owned(),
    }
}

/// A plain text to be found, letters of either case alike.
#[derive(Debug, Clone)]
struct Needle {
    lower: String,
}

impl Needle {
    fn new(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self {
            lower: text.to_lowercase(),
        })
    }

    fn is_in(&self, text: &str) -> bool {
        if self.lower.is_ascii() {
            // Quick, and right: a byte of a longer character is never an ASCII letter. The two characters beyond
            // ASCII that lower-case into it (the Kelvin sign, the dotted I) are found the slow way.
            let needle = self.lower.as_bytes();
            let found = text
                .as_bytes()
                .windows(needle.len())
                .any(|window| window.eq_ignore_ascii_case(needle));
            if found || text.is_ascii() {
                return found;
            }
        }
        text.to_lowercase().contains(&self.lower)
    }
}

/// The fuzzers' way in: reads `bytes` as a log file, whole and by chunks, which must agree.
pub fn fuzz(bytes: &[u8]) {
    let mut whole = Joiner::default();
    let mut expected: Vec<Line> = Vec::new();
    for line in bytes
        .split(|&b| b == b'\n')
        .filter(|l| l.len() <= MAX_RECORD)
    {
        expected.extend(whole.push(line));
    }
    let mut cutter = follow::Cutter::default();
    let mut joiner = Joiner::default();
    let mut lines: Vec<Line> = Vec::new();
    for chunk in bytes.chunks(7) {
        cutter.push(chunk, |line| lines.extend(joiner.push(line)));
    }
    // What follows the last newline is not a line yet for one who follows.
    lines.extend(joiner.push(cutter.rest()));
    assert_eq!(lines, expected);
}
