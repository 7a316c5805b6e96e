//! Chunks as they come from a pipe, cut into the records of the log. Pure.

use std::io::BufRead;

/// The longest text of one record: a longer line is written in parts.
pub(crate) const MAX_TEXT: usize = 16 * 1024;

/// The beginning of a line whose end has not come yet.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    begun: Vec<u8>,
    /// Parts of the current line were given out already.
    in_parts: bool,
}

impl Splitter {
    /// Cuts `chunk`, after what is left of the chunk before; gives each record as (text, partial).
    pub(crate) fn push(
        &mut self,
        mut chunk: &[u8],
        limit: usize,
        mut record: impl FnMut(&[u8], bool),
    ) {
        let limit = limit.max(1);
        while !chunk.is_empty() {
            // `skip_until` is libc's memchr, the quickest there is without a dependency.
            let mut rest = chunk;
            let n = rest.skip_until(b'\n').unwrap_or(chunk.len());
            let (line, after) = chunk.split_at(n.min(chunk.len()));
            chunk = after;
            match line.strip_suffix(b"\n") {
                Some(line) => self.end(line, limit, &mut record),
                None => self.begin(line, limit, &mut record),
            }
        }
    }

    /// The output is over: a line without an end is a line.
    pub(crate) fn finish(&mut self, mut record: impl FnMut(&[u8], bool)) {
        if !self.begun.is_empty() || self.in_parts {
            record(&self.begun, false);
        }
        *self = Self::default();
    }

    fn end(&mut self, mut line: &[u8], limit: usize, record: &mut impl FnMut(&[u8], bool)) {
        if !self.begun.is_empty() {
            line = self.fill(line, limit, record);
        }
        if !self.begun.is_empty() {
            // `fill` took all of it: the whole line is what was begun.
            record(&self.begun, false);
            self.begun.clear();
            self.in_parts = false;
            return;
        }
        while line.len() > limit {
            let (part, rest) = line.split_at(limit);
            record(part, true);
            line = rest;
        }
        record(line, false);
        self.in_parts = false;
    }

    fn begin(&mut self, mut line: &[u8], limit: usize, record: &mut impl FnMut(&[u8], bool)) {
        if !self.begun.is_empty() {
            line = self.fill(line, limit, record);
        }
        if self.begun.is_empty() {
            while line.len() > limit {
                let (part, rest) = line.split_at(limit);
                record(part, true);
                self.in_parts = true;
                line = rest;
            }
            self.begun.extend_from_slice(line);
        }
    }

    /// Fills what was begun up to the limit and gives it out if more follows; what of `line` is left then.
    fn fill<'a>(
        &mut self,
        line: &'a [u8],
        limit: usize,
        record: &mut impl FnMut(&[u8], bool),
    ) -> &'a [u8] {
        let room = limit.saturating_sub(self.begun.len());
        let (head, rest) = line.split_at(room.min(line.len()));
        self.begun.extend_from_slice(head);
        if !rest.is_empty() {
            record(&self.begun, true);
            self.in_parts = true;
            self.begun.clear();
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn cut(chunks: &[Vec<u8>], limit: usize) -> Vec<(Vec<u8>, bool)> {
        let (mut splitter, mut records) = (Splitter::default(), Vec::new());
        for chunk in chunks {
            splitter.push(chunk, limit, |text, partial| {
                records.push((text.to_vec(), partial));
            });
        }
        splitter.finish(|text, partial| records.push((text.to_vec(), partial)));
        records
    }

    #[test]
    fn a_line_over_the_limit_is_in_parts() {
        let records = cut(&[b"abcdefg\nhi".to_vec()], 3);
        let expected = [("abc", true), ("def", true), ("g", false), ("hi", false)];
        assert_eq!(records, expected.map(|(t, p)| (t.as_bytes().to_vec(), p)));
    }

    fn output() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let byte = prop_oneof![3 => Just(b'a'), 2 => Just(b'\n'), 1 => any::<u8>()];
        prop::collection::vec(prop::collection::vec(byte, 0..40), 0..12)
    }

    proptest! {
        /// However it is chunked, the records joined are the lines.
        #[test]
        fn nothing_is_lost(chunks in output(), limit in 1_usize..20) {
            let whole: Vec<u8> = chunks.concat();
            let mut lines: Vec<&[u8]> = whole.split(|&b| b == b'\n').collect();
            if lines.last().unwrap().is_empty() {
                lines.pop();
            }
            let (mut joined, mut line) = (Vec::new(), Vec::new());
            for (text, partial) in cut(&chunks, limit) {
                prop_assert!(text.len() <= limit);
                line.extend(text);
                if !partial {
                    joined.push(std::mem::take(&mut line));
                }
            }
            prop_assert!(line.is_empty());
            prop_assert_eq!(joined, lines);
        }
    }
}
