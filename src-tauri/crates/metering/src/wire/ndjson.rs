//! Newline-delimited JSON: a value a line. A blank line says nothing; the last line needs no end.
//!
//! Chunks may be cut anywhere. A line that lies in one chunk is handed on without being copied.

use memchr::memchr;

use super::frame::{BOM, Carry, Frame, MAX_FRAME};

/// Finds the lines in a stream of chunks.
#[derive(Debug, Default)]
pub struct Ndjson {
    /// The line that the last chunk ended in.
    carry: Carry,
    /// The first line was seen.
    begun: bool,
}

impl Ndjson {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next chunk, and calls `each` for each line that it completes, blank ones too.
    pub fn push(&mut self, chunk: &[u8], mut each: impl FnMut(Frame<'_>)) {
        let mut rest = chunk;
        while let Some(at) = memchr(b'\n', rest) {
            let (line, ending) = rest.split_at(at);
            rest = ending.split_first().map_or(&[][..], |(_, rest)| rest);
            self.line(line, chunk.len() - rest.len(), &mut each);
        }
        self.carry.extend(rest);
    }

    /// The stream has ended; what it ended in is a line, too.
    pub fn finish(mut self, mut each: impl FnMut(Frame<'_>)) {
        if !self.carry.is_empty() {
            self.line(&[], 0, &mut each);
        }
    }

    fn line(&mut self, part: &[u8], end: usize, each: &mut impl FnMut(Frame<'_>)) {
        let line = if self.carry.is_empty() {
            part
        } else {
            self.carry.extend(part);
            self.carry.line()
        };
        let line = if std::mem::replace(&mut self.begun, true) {
            line
        } else {
            line.strip_prefix(BOM).unwrap_or(line)
        };
        let oversized = self.carry.is_long() || line.len() > MAX_FRAME;
        each(Frame {
            data: if oversized { &[] } else { line.trim_ascii() },
            end,
            oversized,
        });
        self.carry.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::split;
    use super::*;

    /// Each line of a stream that comes in these chunks; `None` for one that is too long.
    fn lines<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
        let mut ndjson = Ndjson::new();
        let mut lines = Vec::new();
        let mut each = |frame: Frame<'_>| {
            if frame.oversized {
                lines.push(None);
            } else if !frame.data.is_empty() {
                lines.push(Some(frame.data.to_vec()));
            }
        };
        for chunk in chunks {
            ndjson.push(chunk, &mut each);
        }
        ndjson.finish(&mut each);
        lines
    }

    #[test]
    fn lines_are_values() {
        for (stream, expected) in [
            ("{}\n[]\r\n \n\n1", vec!["{}", "[]", "1"]),
            ("\u{feff}{}\n", vec!["{}"]),
            ("", vec![]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|line| Some(line.as_bytes().to_vec()))
                .collect();
            assert_eq!(lines([stream.as_bytes()]), expected, "{stream:?}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let stream = format!(
            "{}\n1\n{}",
            "x".repeat(MAX_FRAME + 1),
            "y".repeat(MAX_FRAME)
        );
        for size in [777, MAX_FRAME, stream.len()] {
            let lines = lines(stream.as_bytes().chunks(size));
            let lengths: Vec<_> = lines
                .iter()
                .map(|line| line.as_ref().map(Vec::len))
                .collect();
            assert_eq!(lengths, [None, Some(1), Some(MAX_FRAME)], "{size}");
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_lines(
            stream in prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b'\r')], 0..80),
            cuts in prop::collection::vec(0..80usize, 0..12),
        ) {
            let whole = lines([&stream[..]]);
            prop_assert_eq!(lines(split(&stream, &cuts)), whole.clone());
            prop_assert_eq!(lines(stream.chunks(1)), whole);
        }
    }
}
