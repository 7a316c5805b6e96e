//! What an engine and a shim say to each other: versioned, length-prefixed binary frames. No I/O here.
//!
//! # Frame
//!
//! ```text
//! u32  length of what follows (kind and body), at most 1 MiB
//! u16  kind
//! …    body: little-endian integers; strings and lists prefixed by a u32 length
//! ```
//!
//! # Versions
//!
//! A new engine meets old shims, because a shim lives as long as its service. So a message's fields are only
//! ever appended, a reader ignores bytes after the fields it knows, and a kind it does not know decodes to
//! `Unknown`, which both sides skip. [`Welcome::version`] tells the engine what the shim understands:
//!
//! | version | new |
//! |---|---|
//! | 1 | |
//! | 2 | [`ToShim::SetStop`] |
//!
//! # A conversation
//!
//! ```text
//! engine                         shim
//! Hello                     →
//!                           ←    Welcome            what runs, the label, exits that nobody acknowledged
//! Spawn                     →
//!                           ←    Started | SpawnFailed | Refused
//!                           ←    Exited             the leader was reaped
//! AckExit                   →                       until then the exit is told again in every Welcome
//!                           ←    TreeEmpty          nothing of the tree is left: now it may be spawned again
//! Stop                      →
//!                           ←    Exited, TreeEmpty
//! Quit                      →                       the shim ends; Refused while anything is left
//! ```
//!
//! Decoding is total: any bytes give a message, "not yet enough", or an [`Error`]; never a panic, and never more
//! memory than the frame is long.

mod engine;
mod shim;
#[cfg(test)]
mod tests;
mod wire;

pub use engine::{Command, LogSpec, Spawn, StopSpec, ToShim};
pub use shim::{
    Exit, ExitStatus, FromShim, LiveLine, Refusal, Running, SpawnError, SpawnErrorKind, Started,
    State, Welcome,
};

/// The version of the protocol that this code speaks.
pub const VERSION: u32 = 2;

/// The longest frame, without its length prefix: kind and body.
pub const MAX_FRAME: usize = 1024 * 1024;

const PREFIX: usize = 4;
const KIND: usize = 2;

/// Why bytes are not a frame, or a message cannot become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The frame says, or the message needs, more than [`MAX_FRAME`] bytes.
    TooLong(usize),
    /// The frame is shorter than its kind, or its body ends in the middle of a field.
    Truncated,
    /// A field holds a value that has no meaning.
    Invalid(&'static str),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(n) => write!(
                f,
                "a frame of {n} bytes is over the limit of {MAX_FRAME} bytes"
            ),
            Self::Truncated => f.write_str("a frame ends in the middle of a field"),
            Self::Invalid(field) => write!(f, "a frame holds an invalid {field}"),
        }
    }
}

impl std::error::Error for Error {}

/// A message of one direction: [`ToShim`] or [`FromShim`].
pub trait Message: Sized {
    /// The kind on the wire.
    fn kind(&self) -> u16;
    /// Appends the body.
    fn write_body(&self, out: &mut Vec<u8>);
    /// Reads a body of this kind. A kind that is not known gives the `Unknown` variant.
    fn read_body(kind: u16, body: &[u8]) -> Result<Self, Error>;
}

/// Appends `msg` as one frame to `out`; on an error `out` is as before.
///
/// # Errors
///
/// [`Error::TooLong`] if the message does not fit into a frame.
pub fn encode(msg: &impl Message, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    out.extend_from_slice(&msg.kind().to_le_bytes());
    msg.write_body(out);
    let length = out.len() - start - PREFIX;
    let prefix = u32::try_from(length)
        .ok()
        .filter(|_| length <= MAX_FRAME)
        .map(u32::to_le_bytes);
    match (prefix, out.get_mut(start..start + PREFIX)) {
        (Some(prefix), Some(slot)) => {
            slot.copy_from_slice(&prefix);
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(Error::TooLong(length))
        }
    }
}

/// Reads the frame at the front of `bytes`: the message and how many bytes it took, or `None` if more
/// bytes are needed.
///
/// # Errors
///
/// After an error the stream is out of step; the only cure is to close the connection.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<Option<(M, usize)>, Error> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(Error::TooLong(length));
    }
    if length < KIND {
        return Err(Error::Truncated);
    }
    let Some(frame) = rest.get(..length) else {
        return Ok(None);
    };
    let (kind, body) = frame.split_first_chunk::<KIND>().ok_or(Error::Truncated)?;
    let msg = M::read_body(u16::from_le_bytes(*kind), body)?;
    Ok(Some((msg, PREFIX + length)))
}

/// Bytes as they arrive, messages as they are complete.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    read: usize,
}

impl Inbox {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was read from the connection.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.read == self.bytes.len() {
            self.bytes.clear();
            self.read = 0;
        } else if self.read > 64 * 1024 {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete message, `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// As [`decode`]: close the connection.
    pub fn next_message<M: Message>(&mut self) -> Result<Option<M>, Error> {
        let rest = self.bytes.get(self.read..).unwrap_or_default();
        let Some((msg, consumed)) = decode(rest)? else {
            return Ok(None);
        };
        self.read += consumed;
        if self.read == self.bytes.len() {
            // A large Spawn must not keep its memory for the rest of the shim's life.
            self.read = 0;
            self.bytes.clear();
            self.bytes.shrink_to(4096);
        }
        Ok(Some(msg))
    }
}

/// The fuzzers' way in: decodes `bytes` as both directions; what decodes must encode, and decode to itself.
pub fn fuzz(bytes: &[u8]) {
    round_trip::<ToShim>(bytes);
    round_trip::<FromShim>(bytes);
}

fn round_trip<M: Message + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(Some((msg, consumed))) = decode::<M>(bytes) else {
        return;
    };
    assert!(consumed <= bytes.len());
    let mut again = Vec::new();
    // Lossy text may grow over the limit; everything else must fit again.
    if encode(&msg, &mut again).is_ok() {
        assert_eq!(decode::<M>(&again), Ok(Some((msg, again.len()))));
    }
}
