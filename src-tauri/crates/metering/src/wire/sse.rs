//! Server-sent events, as WHATWG's HTML standard frames them: lines end in LF, CR or CRLF, a blank line ends an event,
//! several `data` lines are joined by LF, a line that begins with a colon is a comment.
//!
//! Chunks may be cut anywhere. An event that lies in one chunk and has one `data` line, as nearly all do, is handed on
//! without being copied. Unlike in a browser, an event that the end of the stream cuts short of its blank line counts.

use memchr::memchr2;

use super::frame::{BOM, Carry, Frame, MAX_FRAME, empty};

/// Finds the events in a stream of chunks.
#[derive(Debug, Default)]
pub struct Sse {
    /// The line that the last chunk ended in.
    carry: Carry,
    /// The data of the event so far, unless it lies in the chunk at hand.
    data: Vec<u8>,
    /// How many data lines the event has so far.
    lines: usize,
    oversized: bool,
    /// The last chunk ended in CR; an LF that follows belongs to it.
    after_cr: bool,
    /// The first line was seen.
    begun: bool,
}

impl Sse {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next chunk, and calls `each` for each event that it completes, and for each blank line.
    pub fn push(&mut self, chunk: &[u8], mut each: impl FnMut(Frame<'_>)) {
        let mut rest = chunk;
        if self.after_cr && !chunk.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        // The event's only data line so far, where it lies in this chunk.
        let mut whole = None;
        while let Some(at) = memchr2(b'\n', b'\r', rest) {
            let (line, ending) = rest.split_at(at);
            rest = match ending {
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
                [] => &[],
            };
            if self.line(line, &mut whole) {
                let data = whole.take().unwrap_or(&self.data);
                each(Frame {
                    data: if self.oversized { &[] } else { data },
                    end: chunk.len() - rest.len(),
                    oversized: self.oversized,
                });
                self.reset();
            }
        }
        self.carry.extend(rest);
        self.data.extend_from_slice(whole.unwrap_or_default());
    }

    /// The stream has ended; what it was cut short in is an event, too.
    pub fn finish(mut self, mut each: impl FnMut(Frame<'_>)) {
        let mut whole = None;
        if !self.carry.is_empty() {
            self.line(&[], &mut whole);
        }
        if self.lines > 0 || self.oversized {
            each(Frame {
                data: if self.oversized { &[] } else { &self.data },
                end: 0,
                oversized: self.oversized,
            });
        }
    }

    /// The rest of a line. Whether the line is blank.
    fn line<'a>(&mut self, part: &'a [u8], whole: &mut Option<&'a [u8]>) -> bool {
        if self.carry.is_empty() {
            let line = after_bom(part, &mut self.begun);
            if let Some(value) = data_of(line) {
                if self.lines == 0 && value.len() <= MAX_FRAME {
                    self.lines = 1;
                    *whole = Some(value);
                } else {
                    self.data
                        .extend_from_slice(whole.take().unwrap_or_default());
                    append(&mut self.data, &mut self.lines, &mut self.oversized, value);
                }
            }
            return line.is_empty();
        }
        self.carry.extend(part);
        let line = after_bom(self.carry.line(), &mut self.begun);
        let blank = line.is_empty();
        if let Some(value) = data_of(line) {
            self.oversized |= self.carry.is_long();
            self.data
                .extend_from_slice(whole.take().unwrap_or_default());
            append(&mut self.data, &mut self.lines, &mut self.oversized, value);
        }
        self.carry.clear();
        blank
    }

    fn reset(&mut self) {
        empty(&mut self.data);
        self.lines = 0;
        self.oversized = false;
    }
}

fn append(data: &mut Vec<u8>, lines: &mut usize, oversized: &mut bool, value: &[u8]) {
    let joined = data.len() + usize::from(*lines > 0) + value.len();
    *oversized |= joined > MAX_FRAME;
    if *oversized {
        empty(data);
        return;
    }
    if *lines > 0 {
        data.push(b'\n');
    }
    data.extend_from_slice(value);
    *lines += 1;
}

/// The line, without the mark that the first one may begin with.
fn after_bom<'a>(line: &'a [u8], begun: &mut bool) -> &'a [u8] {
    if std::mem::replace(begun, true) {
        line
    } else {
        line.strip_prefix(BOM).unwrap_or(line)
    }
}

/// The value of a `data` field.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::split;
    use super::*;

    /// The data of each event of a stream that comes in these chunks; `None` for one that is too long.
    fn events<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
        let mut sse = Sse::new();
        let mut events = Vec::new();
        let mut each = |frame: Frame<'_>| {
            if frame.oversized {
                events.push(None);
            } else if !frame.data.is_empty() {
                events.push(Some(frame.data.to_vec()));
            }
        };
        for chunk in chunks {
            sse.push(chunk, &mut each);
        }
        sse.finish(&mut each);
        events
    }

    fn of(stream: &[u8]) -> Vec<String> {
        events([stream])
            .into_iter()
            .map(|data| {
                data.map_or("too long".to_owned(), |data| {
                    String::from_utf8_lossy(&data).into_owned()
                })
            })
            .collect()
    }

    #[test]
    fn events_are_framed_as_the_standard_says() {
        for (stream, expected) in [
            ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
            (
                "data: a\r\n\r\ndata: b\r\rdata: c\n\r\n",
                vec!["a", "b", "c"],
            ),
            ("data:a\ndata:  b\ndata\ndata:\n\n", vec!["a\n b\n\n"]),
            (
                ": ping\n\nevent: x\nid: 1\ndata: a\nretry: 5\n\n",
                vec!["a"],
            ),
            ("\u{feff}data: a\n\n\u{feff}data: b\n\n", vec!["a"]),
            ("\u{feff}\n\ndata: a\n\n", vec!["a"]),
            ("datas: a\ndat: b\n data: c\ndata : d\n\n", vec![]),
            ("data: cut", vec!["cut"]),
            ("data: cut\r", vec!["cut"]),
            ("\n\r\n\r", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(of(stream.as_bytes()), expected, "{stream:?}");
        }
    }

    #[test]
    fn an_event_that_is_too_long_is_passed_over() {
        let long = "x".repeat(MAX_FRAME + 1);
        let half = "x".repeat(MAX_FRAME / 2);
        for (stream, expected) in [
            (
                format!("data: {long}\n\ndata: a\n\n"),
                vec!["too long", "a"],
            ),
            (
                format!("data: {half}\ndata: {half}\n\ndata: a\n\n"),
                vec!["too long", "a"],
            ),
            (format!(": {long}\ndata: a\n\n"), vec!["a"]),
            (format!("data: a\ndata: {long}"), vec!["too long"]),
        ] {
            assert_eq!(of(stream.as_bytes()), expected);
            for size in [1000, MAX_FRAME, MAX_FRAME + 7] {
                let chunks = stream.as_bytes().chunks(size);
                assert_eq!(events(chunks), events([stream.as_bytes()]), "{size}");
            }
        }
        let most = "x".repeat(MAX_FRAME);
        assert_eq!(of(format!("data: {most}\n\n").as_bytes()), vec![most]);
    }

    #[test]
    fn a_frame_ends_where_its_blank_line_does() {
        let mut ends = Vec::new();
        Sse::new().push(b"data: a\n\n: c\r\n\r\ndata: b", |frame| {
            ends.push(frame.end);
        });
        assert_eq!(ends, [9, 16]);
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_events(
            stream in prop::collection::vec(prop_oneof![
                Just(b"data: ".to_vec()), Just(b"data".to_vec()), Just(b"\n".to_vec()), Just(b"\r".to_vec()),
                Just(b"\r\n".to_vec()), Just(b"\n\n".to_vec()), Just(b":".to_vec()), Just(BOM.to_vec()),
                prop::collection::vec(any::<u8>(), 0..4),
            ], 0..40),
            cuts in prop::collection::vec(0..120usize, 0..12),
        ) {
            let stream = stream.concat();
            let whole = events([&stream[..]]);
            prop_assert_eq!(events(split(&stream, &cuts)), whole.clone());
            prop_assert_eq!(events(stream.chunks(1)), whole);
        }
    }
}
