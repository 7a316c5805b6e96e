//! Metering a stream while it passes.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;

use super::ndjson::Ndjson;
use super::reading::{Kind, Reader};
use super::splice::null_member;
use super::sse::Sse;
use super::{Dialect, Frame, MAX_FRAME, ProviderError, Reading};

/// Passes a stream on, byte for byte, and reads it on the way.
///
/// Chunks go on as they come, uncopied, before anything is read of the next. Only when it is to leave out what OpenAI
/// says of usage ([`Self::dropping_usage`]) does it hold back an event that is not complete yet, at most
/// [`MAX_FRAME`] bytes of it.
#[derive(Debug)]
pub struct StreamMeter {
    framing: Framing,
    reader: Reader,
    /// Whether what is said of usage is left out, where nothing else is said with it.
    drop_usage: bool,
    /// The incomplete event that is held back.
    held: Vec<u8>,
    /// A part of the event at hand has gone on already: it cannot be left out any more.
    committed: bool,
}

#[derive(Debug)]
enum Framing {
    Sse(Sse),
    Ndjson(Ndjson),
}

impl Framing {
    fn push(&mut self, chunk: &[u8], each: impl FnMut(Frame<'_>)) {
        match self {
            Self::Sse(sse) => sse.push(chunk, each),
            Self::Ndjson(ndjson) => ndjson.push(chunk, each),
        }
    }

    fn finish(self, each: impl FnMut(Frame<'_>)) {
        match self {
            Self::Sse(sse) => sse.finish(each),
            Self::Ndjson(ndjson) => ndjson.finish(each),
        }
    }
}

fn read(reader: &mut Reader, frame: &Frame<'_>) -> Kind {
    if frame.oversized {
        reader.oversized();
        Kind::Ordinary
    } else {
        reader.event(frame.data)
    }
}

impl StreamMeter {
    /// At the beginning of an answer's body.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            framing: if dialect.streams_ndjson() {
                Framing::Ndjson(Ndjson::new())
            } else {
                Framing::Sse(Sse::new())
            },
            reader: Reader::new(dialect),
            drop_usage: false,
            held: Vec::new(),
            committed: false,
        }
    }

    /// Leaves out the chunk that has `choices: []` and what was used, and the `usage: null` of the chunks before it: they
    /// only come because the gateway asked for usage in the client's place. Where usage comes with a chunk that has
    /// choices, nothing is left out.
    #[must_use]
    pub fn dropping_usage(mut self) -> Self {
        self.drop_usage = true;
        self
    }

    /// Takes the next chunk; `out` gets what goes on to the client.
    pub fn push(&mut self, chunk: Bytes, out: &mut impl FnMut(Bytes)) {
        if chunk.is_empty() {
            return;
        }
        let Self {
            framing,
            reader,
            drop_usage,
            held,
            committed,
        } = self;
        if !*drop_usage {
            out(chunk.clone());
            framing.push(&chunk, |frame| {
                read(reader, &frame);
            });
            return;
        }
        // What goes on of this chunk: from `from` to the end of the last complete event, after what was rewritten
        // before it.
        let (mut from, mut upto) = (0, 0);
        let mut rewritten = Vec::new();
        framing.push(&chunk, |frame| {
            let kind = read(reader, &frame);
            // What is held is of the first event that this chunk completes.
            let is_held = upto == 0 && !held.is_empty();
            if *committed {
                // Its beginning has gone on.
            } else if kind == Kind::UsageOnly {
                if is_held {
                    held.clear();
                } else {
                    rewritten.extend_from_slice(chunk.get(from..upto).unwrap_or_default());
                }
                from = frame.end;
            } else if is_held {
                held.extend_from_slice(chunk.get(..frame.end).unwrap_or_default());
                if let Some(cut) = null_usage(held) {
                    held.drain(cut);
                }
                rewritten.append(held);
                from = frame.end;
            } else if let Some(cut) = null_usage(chunk.get(upto..frame.end).unwrap_or_default()) {
                let before = from..upto + cut.start;
                rewritten.extend_from_slice(chunk.get(before).unwrap_or_default());
                from = upto + cut.end;
            }
            *committed = false;
            upto = frame.end;
        });
        if !rewritten.is_empty() {
            rewritten.extend_from_slice(chunk.get(from..upto).unwrap_or_default());
            out(rewritten.into());
        } else if from < upto {
            out(chunk.slice(from..upto));
        }
        let rest = chunk.slice(upto..);
        if *committed || held.len() + rest.len() > MAX_FRAME {
            *committed = true;
            send(held, rest, out);
        } else {
            held.extend_from_slice(&rest);
        }
    }

    /// Whether the first piece of content has arrived: text, thought or a tool call, not merely a role.
    pub fn saw_content(&self) -> bool {
        self.reader.reading().saw_content
    }

    /// Whether the end of the answer has arrived, though the stream may go on.
    pub fn is_complete(&self) -> bool {
        self.reader.reading().complete
    }

    /// The error that the stream told of, if it did.
    pub fn error(&self) -> Option<&ProviderError> {
        self.reader.reading().error.as_ref()
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// The stream has ended, in whatever way: `out` gets what was held back.
    pub fn finish(mut self, out: &mut impl FnMut(Bytes)) -> Reading {
        let reader = &mut self.reader;
        let mut kind = Kind::Ordinary;
        self.framing.finish(|frame| kind = read(reader, &frame));
        if kind == Kind::Ordinary || self.committed {
            if self.drop_usage
                && !self.committed
                && let Some(cut) = null_usage(&self.held)
            {
                self.held.drain(cut);
            }
            send(&mut self.held, Bytes::new(), out);
        }
        self.reader.finish()
    }
}

/// Where an event says `usage: null`, in an object that stands on one line, as all do.
fn null_usage(event: &[u8]) -> Option<Range<usize>> {
    let found = memmem::find(event, b"\"usage\"")?;
    let (before, after) = event.split_at(found);
    let begin = memchr::memrchr2(b'\n', b'\r', before).map_or(0, |at| at + 1);
    let end = memchr::memchr2(b'\n', b'\r', after).map_or(event.len(), |at| found + at);
    let line = event.get(begin..end)?;
    let data = line.strip_prefix(b"data:")?;
    let cut = null_member(data, "usage")?;
    let begin = begin + (line.len() - data.len());
    Some(begin + cut.start..begin + cut.end)
}

/// Sends what is held and then the chunk.
fn send(held: &mut Vec<u8>, chunk: Bytes, out: &mut impl FnMut(Bytes)) {
    if !held.is_empty() {
        out(std::mem::take(held).into());
    }
    if !chunk.is_empty() {
        out(chunk);
    }
}
