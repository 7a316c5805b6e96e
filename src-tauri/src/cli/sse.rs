//! The client's half of server-sent events: bytes in, messages out.
//!
//! Pure: fed with whatever pieces the connection delivers, cut anywhere, also inside a character.

use std::collections::VecDeque;

/// The most bytes one message may have; a peer that sends more is not ours.
const MAX_MESSAGE: usize = 8 * 1024 * 1024;

/// One message of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The last id seen, this message's own or an earlier one's: where to resume.
    pub last_id: Option<String>,
    /// Its type: `line`, `service`…; `message` where none is given.
    pub event: String,
    /// Its data, for us always JSON.
    pub data: String,
}

/// The parser's state between two pieces.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    event: String,
    data: String,
    has_data: bool,
    last_id: Option<String>,
    ready: VecDeque<Message>,
}

/// The stream is not one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Parser {
    /// Takes the next piece.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        for &byte in piece {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => self.end_line(),
                other => self.line.push(other),
            }
            if self.line.len() + self.data.len() > MAX_MESSAGE {
                return Err(TooLong);
            }
        }
        Ok(())
    }

    /// The next complete message.
    pub(crate) fn next(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            self.end_message();
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
            // `retry` is for browsers; an empty name is a comment.
            _ => {}
        }
    }

    fn end_message(&mut self) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) {
            self.ready.push_back(Message {
                last_id: self.last_id.clone(),
                event: if event.is_empty() {
                    "message".to_owned()
                } else {
                    event
                },
                data: std::mem::take(&mut self.data),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    const STREAM: &str = ": open\nretry: 1000\n\nid: 7\nevent: mark\ndata: {\"ä\":1}\n\n\
        : heartbeat\n\nevent: host\r\ndata: a\r\ndata:b\r\n\r\nid\rdata: z\r\revent: lost\n\ndata: cut off";

    fn all(pieces: &[&[u8]]) -> Vec<Message> {
        let mut parser = Parser::default();
        for piece in pieces {
            parser.feed(piece).unwrap();
        }
        std::iter::from_fn(|| parser.next()).collect()
    }

    #[test]
    fn messages_are_the_same_wherever_the_bytes_are_cut() {
        let message = |id: &str, event: &str, data: &str| Message {
            last_id: Some(id.into()),
            event: event.into(),
            data: data.into(),
        };
        let expected = vec![
            message("7", "mark", "{\"ä\":1}"),
            message("7", "host", "a\nb"),
            message("", "message", "z"),
        ];
        let bytes = STREAM.as_bytes();
        for a in 0..=bytes.len() {
            for b in a..=bytes.len() {
                assert_eq!(all(&[&bytes[..a], &bytes[a..b], &bytes[b..]]), expected);
            }
        }
    }

    #[test]
    fn an_endless_line_is_given_up() {
        let mut parser = Parser::default();
        let piece = [b'x'; 64 * 1024];
        assert!((0..1000).any(|_| parser.feed(&piece).is_err()));
    }
}
